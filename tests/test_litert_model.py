import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from frozen_examples import (
    assert_near,
    converted_by_a_child,
    frozen_model,
    pictures_and_values,
    sha256,
    taking_uint8,
    with_operation,
)

from hdf5_helper.errors import FacetError
from models.export.litert_model import QUANTIZATIONS, to_litert


@pytest.fixture(scope="module")
def converted():
    """Gives the bytes of each quantization."""
    pictures, _expected = pictures_and_values(32)
    return {name: to_litert(frozen_model(), quantization=name, calibration=pictures) for name in QUANTIZATIONS}


def interpreted(data):
    return Interpreter(model_content=data, num_threads=1)


def answers(data, pictures):
    return interpreted(data).get_signature_runner("serving_default")(image=pictures)


@pytest.mark.parametrize("count", [1, 5])
def test_litert_computes_what_keras_computes(converted, count):
    pictures, expected = pictures_and_values()
    found = answers(converted["none"], pictures[:count])
    assert_near(found, {name: values[:count] for name, values in expected.items()})


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_one_signature_has_the_graphs_names_and_an_open_batch(converted, quantization):
    model = interpreted(converted[quantization])
    names = {"inputs": ["image"], "outputs": ["age", "gender_output/Sigmoid"]}
    assert model.get_signature_list() == {"serving_default": names}
    (image,) = model.get_input_details()
    assert (image["dtype"], list(image["shape_signature"])) == (np.float32, [-1, 32, 32, 3])
    assert [output["dtype"] for output in model.get_output_details()] == [np.float32, np.float32]


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_batches_of_any_size_give_each_image_its_values(converted, quantization):
    pictures, _expected = pictures_and_values(16)
    run = interpreted(converted[quantization]).get_signature_runner("serving_default")
    alone = [run(image=pictures[i : i + 1]) for i in range(16)]
    for count in (1, 3, 16):
        together = {name: np.concatenate([values[name] for values in alone[:count]]) for name in alone[0]}
        assert_near(run(image=pictures[:count]), together)


@pytest.mark.parametrize(("quantization", "share", "limit"), [("float16", 0.59, 3e-3), ("int8", 0.37, 0.05)])
def test_smaller_weights_stay_near_what_keras_computes(converted, quantization, share, limit):
    assert len(converted[quantization]) < share * len(converted["none"])
    pictures, expected = pictures_and_values()
    assert_near(answers(converted[quantization], pictures), expected, limit)


def test_int8_computes_in_integers_with_a_scale_for_each_channel(converted):
    tensors = interpreted(converted["int8"]).get_tensor_details()
    floats = [tensor["name"] for tensor in tensors if tensor["dtype"] == np.float32]
    assert len(floats) == 3  # what goes in, and the two that come out
    (kernel,) = [t for t in tensors if t["dtype"] == np.int8 and list(t["shape"]) == [8, 3, 3, 3]]
    assert len(kernel["quantization_parameters"]["scales"]) == 8


def test_float16_stores_weights_in_half_the_bytes(converted):
    types = {np.dtype(tensor["dtype"]).name for tensor in interpreted(converted["float16"]).get_tensor_details()}
    assert types >= {"float16", "float32"}


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_a_graph_that_takes_uint8_gives_a_model_that_does(quantization):
    pictures, expected = pictures_and_values()
    pictures = pictures.astype(np.uint8)
    data = to_litert(taking_uint8(frozen_model()), quantization=quantization, calibration=pictures)
    assert interpreted(data).get_input_details()[0]["dtype"] == np.uint8
    assert_near(answers(data, pictures), expected, {"none": 1e-5, "int8": 0.05}[quantization])


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_same_graph_gives_the_same_bytes(converted, quantization):
    pictures, _expected = pictures_and_values(32)
    assert to_litert(frozen_model(), quantization=quantization, calibration=pictures) == converted[quantization]


def test_another_process_gives_the_same_bytes_and_prints_nothing(converted, tmp_path):
    pictures, _expected = pictures_and_values(32)
    np.save(tmp_path / "pictures.npy", pictures)
    load = "__import__('numpy').load(folder / 'pictures.npy')"
    expression = f"to_litert(frozen) + to_litert(frozen, quantization='int8', calibration={load})"
    found = converted_by_a_child(frozen_model(), expression, tmp_path)
    assert found == (sha256(converted["none"] + converted["int8"]), "")


def test_a_graph_that_litert_cannot_hold_is_refused_in_one_sentence():
    with pytest.raises(FacetError, match=r"^LiteRT: .*Digamma") as refusal:
        to_litert(with_operation(frozen_model(), "Digamma"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"quantization": "int16"}, "quantization 'int16': expected one of float16, int8, none (did you mean 'int8'?)"),
        (
            {"quantization": "int8"},
            "quantization int8: no images to calibrate on, expected some of the kind the model will see",
        ),
        (
            {"quantization": "int8", "calibration": np.zeros((0, 32, 32, 3), np.float32)},
            "quantization int8: no images to calibrate on, expected some of the kind the model will see",
        ),
        (
            {"quantization": "int8", "calibration": np.zeros((2, 48, 32, 3), np.float32)},
            (
                "quantization int8: float32 images of shape (2, 48, 32, 3) to calibrate on,"
                " expected float32 (any number, 32, 32, 3)"
            ),
        ),
        (
            {"quantization": "int8", "calibration": np.zeros((2, 32, 32, 3), np.uint8)},
            (
                "quantization int8: uint8 images of shape (2, 32, 32, 3) to calibrate on,"
                " expected float32 (any number, 32, 32, 3)"
            ),
        ),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, sentence):
    with pytest.raises(FacetError) as refusal:
        to_litert(frozen_model(), **arguments)
    assert str(refusal.value) == sentence
