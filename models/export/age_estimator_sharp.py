"""The preset `age-estimator-sharp`: the graph that AgeEstimatorSharp's sample app loads as it is.

That program (https://github.com/duongntbk/AgeEstimatorSharp, `Sample/App.config` and `PbRunner.cs`) feeds `root_input`,
float32 (N, 150, 150, 3), RGB, (x - mean) / 127.5 with the means of `mean.json`; it reads the first output of the
operations `age_output/BiasAdd` (years) and `gender_output/Sigmoid` (P(female), below 0.5 is male), each one float32 a
face.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.frozen_graph import FrozenModel, behind_preprocessing, by_label, freeze_network
from models.export.image_size import at_image_size
from models.export.signature import GraphInput
from models.preprocessing import Preprocessing

PRESET = "age-estimator-sharp"

#: What the program looks for in the graph.
INPUT_NAME, OUTPUT_NAMES = "root_input", {"age": "age_output/BiasAdd", "gender": "gender_output/Sigmoid"}

#: What it feeds: (height, width), and what it divides by.
IMAGE_SIZE, SCALE = (150, 150), 127.5

#: File of the means, which the program's configuration names.
MEAN_FILE = "mean.json"


@dataclass(frozen=True)
class SharpModel:
    """A model in the form that AgeEstimatorSharp wants.

    Attributes:
        network: keras.Model from what the program feeds, float32 (N, 150, 150, 3), to one number a label, (N, 1).
        source: keras.Model from RGB 0–255 of 150×150 to the model's own outputs.
        source_description: of `source`.
        description: of `network`; its preprocessing is the caller's part.
    """

    network: Any
    source: Any
    source_description: ModelDescription
    description: ModelDescription

    def freeze(self) -> FrozenModel:
        """Gives the graph under the names that the program asks for."""
        graph_input = GraphInput(INPUT_NAME, IMAGE_SIZE, self.description.preprocessing)
        return freeze_network(self.network, graph_input, self.description, OUTPUT_NAMES)

    def reference(self, values: dict[str, Any]) -> dict[str, Any]:
        """Gives the one number a label, (n, 1), for the outputs of `source` by label."""
        chosen = (self.source_description.output(output.label) for output in self.description.outputs)
        return {output.label: one_number(values[output.label], output) for output in chosen}

    def mean_json(self) -> str:
        """Gives the text of `mean.json`: the means of red, green and blue on 0–255."""
        return json.dumps(dict(zip("RGB", self.description.preprocessing.mean, strict=True)), indent=2) + "\n"


def for_age_estimator_sharp(model: Any, description: ModelDescription) -> SharpModel:
    """Brings a model into the form that AgeEstimatorSharp wants.

    The layer `preprocess` is replaced by the 1×1 convolution that maps the program's input to what the backbone wants,
    or by nothing where the two are equal. Outputs other than age and gender are left out.

    Raises:
        FacetError: a model of neither age nor gender, of a head that means neither years nor male and female, or one
            that is not fully convolutional and was trained at another size than 150×150.
    """
    import keras

    outputs = [output for output in description.outputs if output.label in OUTPUT_NAMES]
    if not outputs:
        found = ", ".join(output.label for output in description.outputs)
        raise FacetError(f"--preset {PRESET}: the model gives {found}, expected age, gender or both")
    try:
        source = at_image_size(model, IMAGE_SIZE)
    except FacetError as refusal:
        raise FacetError(f"--preset {PRESET}: {refusal}") from None
    wanted, backbone = _behind_preprocessing(source, description)
    given = Preprocessing("RGB", wanted.rgb_mean, SCALE)
    fed = keras.Input((*IMAGE_SIZE, 3), name=INPUT_NAME)
    images = fed if given == wanted else _convolution(wanted, given)(fed)
    values = by_label(backbone(images, training=False), description)
    numbers = {output.label: one_number(values[output.label], output) for output in outputs}
    told = replace(
        description,
        outputs=tuple(_PLAIN[output.label] for output in outputs),
        image_size=IMAGE_SIZE,
        preprocessing=given,
    )
    return SharpModel(keras.Model(fed, numbers), source, replace(description, image_size=IMAGE_SIZE), told)


_PLAIN = {
    "age": Output("age", "linear", unit="years"),
    "gender": Output("gender", "sigmoid", ("male", "female")),
}


def one_number(values: Any, output: Output) -> Any:
    """Gives years or P(female), (N, 1), for the values (N, k) of one output; arrays and tensors alike.

    Age bins count their years by their probability (Rothe et al., 2015, "DEX"); of three classes of gender the unknown
    one is left out: p_female / (p_female + p_male).

    Raises:
        FacetError: an output that says neither.
    """
    if output.label == "age":
        return _years(values, output)
    names = output.class_names
    if not {"male", "female"} <= set(names):
        found = f"classes {', '.join(names)}" if names else "no class names"
        raise FacetError(f"--preset {PRESET}: gender has {found}, expected male and female")
    if output.activation == "sigmoid" and values.shape[1] == 1:
        return values if names[1] == "female" else 1.0 - values
    if output.activation != "softmax" or values.shape[1] != len(names):
        raise FacetError(
            f"--preset {PRESET}: gender is {output.activation} of {values.shape[1]} values, expected a sigmoid, or a"
            " softmax of a value a class"
        )
    female, male = (values[:, names.index(name) : names.index(name) + 1] for name in ("female", "male"))
    return female if len(names) == 2 else female / (female + male)


def _years(values: Any, output: Output) -> Any:
    import numpy as np

    if output.activation == "softmax" and len(output.class_values) == values.shape[1]:
        return values @ np.asarray(output.class_values, np.float32).reshape(-1, 1)
    if output.activation in ("sigmoid", "softmax") or values.shape[1] != 1:
        raise FacetError(
            f"--preset {PRESET}: age is {output.activation} of {values.shape[1]} values, expected years, or a softmax"
            " whose description says the years of each class"
        )
    return values


def _behind_preprocessing(model: Any, description: ModelDescription) -> tuple[Preprocessing, Any]:
    """Gives what the model wants to see behind its layer `preprocess`, and the part of it that begins there."""
    behind = behind_preprocessing(model, description)
    return (Preprocessing(), model) if behind is None else (description.preprocessing, behind)


def _convolution(wanted: Preprocessing, given: Preprocessing) -> Any:
    import keras

    layer = keras.layers.Conv2D(3, 1, use_bias=False, name="preprocess")
    layer.build((None, None, None, 3))
    layer.set_weights([wanted.kernel_and_bias(given)[0]])  # the means are the same, so that nothing is added
    return layer
