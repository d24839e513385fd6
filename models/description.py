"""What travels with every model: labels, image size, preprocessing, origin. In checkpoints, runs and sidecars."""

from dataclasses import asdict, dataclass, field
from typing import Any

from hdf5_helper.labels import GENDER_NAMES
from models.preprocessing import Preprocessing

#: A sigmoid output of at least this means the second class; programs that read P(female) ask `p < 0.5` for male.
THRESHOLD = 0.5

#: Name of the last class where unknown labels are one.
UNKNOWN_NAME = "unknown"


@dataclass(frozen=True)
class Output:
    """One output of a model.

    Attributes:
        label: the label's name, which is the output's name too.
        activation: `sigmoid` (one value: P(class_names[1])), `softmax` (one value a class) or `linear` (one value, in
            `unit`). For attributes one value each: `sigmoid`, or `linear`, around 0.
        class_names: by class number; of attributes, their names; empty for a number such as age.
        unit: `years` for age, else empty.
        class_values: what each class counts as, in `unit`, such as the middle of an age bin; empty for other classes.
    """

    label: str
    activation: str
    class_names: tuple[str, ...] = ()
    unit: str = ""
    class_values: tuple[float, ...] = ()

    @property
    def threshold(self) -> float | None:
        """From which value on an answer is the second class, or an attribute's yes; None where that means nothing."""
        if self.activation == "sigmoid":
            return THRESHOLD
        return 0.0 if self.activation == "linear" and self.class_names else None

    @property
    def known_names(self) -> tuple[str, ...]:
        """The names of the classes that a file names: all but that of unknown labels."""
        return self.class_names[:-1] if self.unknown_is_a_class else self.class_names

    @property
    def unknown_is_a_class(self) -> bool:
        """Says whether an unknown label is the last class, as in a 3-way gender."""
        return self.label == "gender" and self.class_names == (*GENDER_NAMES, UNKNOWN_NAME)


def output_named(name: str, activation: str) -> Output:
    """Gives what an output means of which only name and activation are known: Facet's own labels by their names.

    Args:
        name: of the output; `gender` as a sigmoid is P(female), `age` as a number is in years.
        activation: what computes it, such as `sigmoid`, `softmax` or `linear`.
    """
    if name == "gender" and activation == "sigmoid":
        return Output(name, activation, GENDER_NAMES)
    is_years = name == "age" and activation not in ("sigmoid", "softmax")
    return Output(name, activation, unit="years" if is_years else "")


@dataclass(frozen=True)
class ModelDescription:
    """Everything a program must know to use a model.

    Attributes:
        outputs: in the model's own order.
        image_size: (height, width) in pixels of the input, RGB float32 0–255.
        fit: how an image of another shape is brought to that size (`hdf5_helper.images.fit`).
        backbone: registry name or the Keras model's own.
        preprocessing: what the layer `preprocess` does to the input.
        run: name of the run it comes from, empty where unknown.
        images_digest, index_digest: of the HDF5 file it was trained on, hex, empty where unknown.
        fold: of that file, that it was tested on; -1 where it was trained on the file's own splits.
        notes: sentences that must travel with the model, such as what its weights have seen.
    """

    outputs: tuple[Output, ...]
    image_size: tuple[int, int]
    fit: str = "stretch"
    backbone: str = ""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    run: str = ""
    images_digest: str = ""
    index_digest: str = ""
    fold: int = -1
    notes: tuple[str, ...] = ()

    def output(self, label: str) -> Output:
        """Gives the output of one label; raises KeyError for another."""
        return {output.label: output for output in self.outputs}[label]

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form."""
        return asdict(self) | {"preprocessing": self.preprocessing.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelDescription":
        """Reads the JSON form."""
        outputs = tuple(
            Output(**(o | {key: tuple(o[key]) for key in ("class_names", "class_values") if key in o}))
            for o in values["outputs"]
        )
        height, width = values["image_size"]
        changed: dict[str, Any] = {
            "outputs": outputs,
            "image_size": (height, width),
            "preprocessing": Preprocessing.from_dict(values["preprocessing"]),
            "notes": tuple(values["notes"]),
        }
        return cls(**(values | changed))
