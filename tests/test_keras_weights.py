import numpy as np
import pytest
from foreign_networks import NARROW, random_arrays

from hdf5_helper.errors import FacetError
from models.backbones.building import without_preprocessing
from models.backbones.registry import backbone_named
from models.pretrained import keras_weights
from models.pretrained.keras_weights import write_keras_weights
from models.pretrained.targets import abstract_network, layers_with_variables, own_variables, targets_of

#: Architecture and arguments, small ones of every kind of layer and nesting.
ARCHITECTURES = [
    ("vggface", NARROW),
    ("resnext50", {"width": 1 / 8, "cardinality": 8, "blocks": (1, 1, 1, 1)}),
    ("mobilenet", {"alpha": 0.25}),
    ("mobilenet_v3_small", {"alpha": 0.25}),
    ("efficientnetv2b0", {}),
    pytest.param("ConvNeXtTiny", {}, marks=pytest.mark.long),
]


@pytest.mark.parametrize(("name", "arguments"), ARCHITECTURES)
def test_keras_loads_what_was_written(name, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr(keras_weights, "_SLAB", 5000)
    model = abstract_network(backbone_named(name), arguments)
    arrays = random_arrays(targets_of(model))
    write_keras_weights(model, arrays, tmp_path / "out.weights.h5")
    backbone = backbone_named(name)
    loaded = without_preprocessing(backbone.build(None, (backbone.size, backbone.size), arguments))
    loaded.load_weights(tmp_path / "out.weights.h5")
    found = [variable.numpy() for layer in layers_with_variables(loaded) for variable, _role in own_variables(layer)]
    assert all(np.array_equal(*pair) for pair in zip(found, arrays.values(), strict=True))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused(value, tmp_path):
    model = abstract_network(backbone_named("vggface"), NARROW)
    arrays = random_arrays(targets_of(model))
    arrays["conv3_1.bias"] = arrays["conv3_1.bias"].astype(np.float64)
    arrays["conv3_1.bias"][1] = value
    with pytest.raises(FacetError) as error:
        write_keras_weights(model, arrays, tmp_path / "out.weights.h5")
    assert str(error.value) == (
        "conv3_1.bias holds values that are not finite in float32, expected a trained network's"
    )
