import numpy as np
import pytest
import tensorflow as tf
from frozen_examples import (
    assert_near,
    converted_by_a_child,
    frozen_model,
    graph_of,
    pictures_and_values,
    sha256,
    taking_uint8,
)
from tensorflow.core.protobuf import saved_model_pb2

from models.export.saved_model import write_saved_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    write_saved_model(frozen_model(), path)
    return path


def served(folder, pictures):
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    return {name: value.numpy() for name, value in signature(image=tf.constant(pictures)).items()}


@pytest.mark.parametrize("count", [1, 5])
def test_tensorflow_2_serves_what_keras_computes(folder, count):
    pictures, expected = pictures_and_values()
    assert_near(served(folder, pictures[:count]), {name: values[:count] for name, values in expected.items()})


def test_tensorflow_1s_loader_finds_the_tensors_under_their_operations_names(folder):
    pictures, expected = pictures_and_values()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = tf.compat.v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        tensors = {name: info.name for name, info in signature.outputs.items()}
        assert tensors == {"gender_output/Sigmoid": "gender_output/Sigmoid:0", "age": "age:0"}
        assert_near(session.run(tensors, {signature.inputs["image"].name: pictures}), expected)


def test_the_folder_holds_one_file_and_that_the_very_graph(folder):
    assert [path.name for path in folder.iterdir()] == ["saved_model.pb"]
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    assert saved.saved_model_schema_version == 1
    assert meta_graph.graph_def == graph_of(frozen_model())
    assert (list(meta_graph.meta_info_def.tags), meta_graph.meta_info_def.stripped_default_attrs) == (["serve"], True)


def test_the_signature_says_type_and_shape_with_an_open_batch(folder):
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    tensors = {**signature.inputs, **signature.outputs}
    assert signature.method_name == "tensorflow/serving/predict"
    assert {name: (tf.as_dtype(t.dtype), tf.TensorShape(t.tensor_shape).as_list()) for name, t in tensors.items()} == {
        "image": (tf.float32, [None, 32, 32, 3]),
        "gender_output/Sigmoid": (tf.float32, [None, 1]),
        "age": (tf.float32, [None, 1]),
    }


def test_a_graph_that_takes_uint8_says_so(tmp_path):
    pictures, expected = pictures_and_values()
    write_saved_model(taking_uint8(frozen_model()), tmp_path)
    assert_near(served(tmp_path, pictures.astype(np.uint8)), expected)


def test_the_same_graph_gives_the_same_bytes_here_and_in_another_process(folder, tmp_path):
    data = (folder / "saved_model.pb").read_bytes()
    assert write_saved_model(frozen_model(), tmp_path / "again").read_bytes() == data
    expression = "write_saved_model(frozen, folder / 'child').read_bytes()"
    assert converted_by_a_child(frozen_model(), expression, tmp_path) == (sha256(data), "")


def test_a_place_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_saved_model(frozen_model(), tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
