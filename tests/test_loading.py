import keras
import numpy as np
import pytest
import tensorflow as tf
from small_models import images

from hdf5_helper.errors import FacetError
from models.export import load_frozen_graph
from models.export.loading import read_exported


def graph_bytes(build):
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def().SerializeToString()


def placeholder(shape=(None, 8, 8, 3), dtype=tf.float32):
    return tf.compat.v1.placeholder(dtype, shape, name="x")


def test_a_graph_of_one_number_an_image_gives_a_column(tmp_path):
    data = graph_bytes(lambda: tf.reduce_mean(placeholder(), axis=(1, 2, 3), name="age"))
    (tmp_path / "flat.pb").write_bytes(data)
    graph = load_frozen_graph(tmp_path / "flat.pb")
    found = graph(images(3, 8))["age"]
    np.testing.assert_allclose(found, images(3, 8).mean(axis=(1, 2, 3))[:, np.newaxis], rtol=1e-5)
    assert (found.shape, graph.description.output("age").unit) == ((3, 1), "years")


def test_what_gives_no_value_is_no_output_of_a_graph(tmp_path):
    def checked():
        means = tf.reduce_mean(placeholder(), axis=(1, 2), name="means")
        tf.raw_ops.Assert(condition=tf.reduce_all(tf.math.is_finite(means)), data=[means], name="check")
        tf.identity(means, name="colours")

    (tmp_path / "checked.pb").write_bytes(graph_bytes(checked))
    assert [output.name for output in load_frozen_graph(tmp_path / "checked.pb").signature.outputs] == ["colours"]


def bytes_input():
    tf.reduce_mean(tf.cast(placeholder(dtype=tf.uint8), tf.float32), axis=(1, 2), name="y")


def one_image():
    tf.reduce_mean(placeholder((1, 8, 8, 3)), axis=(1, 2), name="y")


def class_number():
    tf.argmax(tf.reduce_mean(placeholder(), axis=(1, 2)), axis=1, name="y")


def one_value_for_all():
    tf.reshape(tf.reduce_mean(placeholder()), [1], name="y")


def unknown_operation():
    graph_def = tf.compat.v1.GraphDef.FromString(graph_bytes(lambda: tf.identity(placeholder(), name="y")))
    graph_def.node[1].op = "Unheard"
    return graph_def.SerializeToString()


def two_inputs():
    names = [tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3)) for _ in range(2)]
    tf.add(*names, name="sum")


def flat_input():
    tf.identity(tf.compat.v1.placeholder(tf.float32, (None, 10), name="x"), name="y")


def variable():
    tf.compat.v1.get_variable("w", (3,), use_resource=True)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.Flatten()(image)).export(folder, verbose=False)
    return folder / "saved_model.pb"


def test_a_file_that_is_no_frozen_graph_is_refused_in_one_sentence(tmp_path, saved_model):
    cases = {
        saved_model.read_bytes(): "a SavedModel, expected a frozen graph as `facet export` writes",
        b"\xff\xd8\xff\xe0 not a graph": "not a frozen graph (no GraphDef can be read from it)",
        b'node { name: "image" }': "not a frozen graph (no GraphDef can be read from it)",
        b"": "not a frozen graph (it holds no operations)",
        graph_bytes(variable): "not a frozen graph (1 variables are not constants)",
        graph_bytes(two_inputs): "has 2 placeholders and no sidecar, expected one input",
        graph_bytes(flat_input): "has input (None, 10) and no sidecar, expected images (None, H, W, 3)",
        graph_bytes(one_image): "has input (1, 8, 8, 3) and no sidecar, expected images (None, H, W, 3)",
        graph_bytes(bytes_input): "has input of uint8 and no sidecar, expected float32 images",
        graph_bytes(class_number): "output y is of int64, expected float32",
        graph_bytes(one_value_for_all): "output y has shape (1,), expected (None, number of values)",
        graph_bytes(placeholder): "has no output, expected at least one",
    }
    for data, sentence in cases.items():
        (tmp_path / "other.pb").write_bytes(data)
        with pytest.raises(FacetError) as refused:
            load_frozen_graph(tmp_path / "other.pb")
        assert str(refused.value) == f"{tmp_path / 'other.pb'}: {sentence}"


def test_a_graph_of_an_operation_that_tensorflow_does_not_know_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "other.pb"
    path.write_bytes(unknown_operation())
    with pytest.raises(FacetError) as refused:
        load_frozen_graph(path)
    assert str(refused.value).startswith(f"{path}: TensorFlow cannot import this graph: ")
    assert "Unheard" in str(refused.value)


def test_a_missing_graph_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(FacetError) as refused:
        load_frozen_graph(tmp_path / "gone.pb")
    assert str(refused.value) == f"{tmp_path / 'gone.pb'}: no such file, expected a frozen graph (.pb)"


def test_an_exported_file_of_another_format_needs_its_sidecar(tmp_path, saved_model):
    (tmp_path / "real.onnx").write_bytes(b"onnx")
    cases = {
        tmp_path / "gone.onnx": "no such file, expected one that `facet export` wrote",
        tmp_path / "gone": "no such file, expected one that `facet export` wrote",
        tmp_path: "a folder without saved_model.pb, expected a file that `facet export` wrote",
        tmp_path / "real.onnx": "has no sidecar, expected real.onnx.json beside it",
        saved_model.parent: f"has no sidecar, expected {saved_model.parent.name}.saved_model.json beside it",
    }
    for path, sentence in cases.items():
        with pytest.raises(FacetError) as refused:
            read_exported(path)
        assert str(refused.value) == f"{path}: {sentence}"


def test_what_can_be_told_of_a_frozen_graph_alone_is_told(tmp_path):
    path = tmp_path / "flat.pb"
    path.write_bytes(graph_bytes(lambda: tf.reduce_mean(placeholder(), axis=(1, 2, 3), name="age")))
    found, loaded = read_exported(path), load_frozen_graph(path)
    assert (found.signature, found.description, found.sidecar) == (loaded.signature, loaded.description, None)
