import ast
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from small_models import images, small_model, values_of
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from hdf5_helper.errors import FacetError
from models.description import Output
from models.export.frozen_graph import freeze
from models.export.litert_model import to_litert
from models.export.onnx_model import to_onnx
from models.export.runtimes import RUNTIMES, RuntimeRefusal, opencv_by
from models.export.runtimes.child import PROGRAMS, open_in_child
from models.export.saved_model import write_saved_model
from models.export.signature import GraphInput, GraphOutput, Signature
from models.preprocessing import Preprocessing

ROOT = Path(__file__).resolve().parent.parent
BY_KEY = {runtime.key: runtime for runtime in RUNTIMES}
FILES = {"pb": "graph.pb", "saved_model": "saved", "onnx": "graph.onnx", "litert": "graph.tflite"}
READERS = [(runtime.key, name) for runtime in RUNTIMES for name in runtime.formats]


def signature_of(*outputs, dtype="float32", size=8):
    graph_input = GraphInput("x", (size, size), Preprocessing(), dtype)
    return Signature(graph_input, tuple(GraphOutput(name, 1, Output(name, "linear")) for name in outputs))


SIGNATURE = signature_of("y")


def runtime(request, key):
    """Gives a runtime by its key; the fixture fetches TensorFlow 1.15."""
    if key == "tensorflow1":
        request.getfixturevalue("tensorflow_1")
    return BY_KEY[key]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Gives (folder with one model in every format, its signature, five images, what Keras says of them)."""
    model, description = small_model(("age", "gender"))
    frozen, folder = freeze(model, description), tmp_path_factory.mktemp("written")
    (folder / FILES["pb"]).write_bytes(frozen.data)
    (folder / FILES["onnx"]).write_bytes(to_onnx(frozen))
    (folder / FILES["litert"]).write_bytes(to_litert(frozen))
    write_saved_model(frozen, folder / FILES["saved_model"])
    return folder, frozen.signature, images(5).astype(np.float32), values_of(model, description, images(5))


@pytest.mark.parametrize(("key", "name"), READERS, ids=[" ".join(pair) for pair in READERS])
def test_a_runtime_gives_what_keras_gives_for_any_number_of_images(request, written, key, name):
    folder, signature, pictures, expected = written
    with runtime(request, key).open(folder / FILES[name], signature) as graph:
        for count in (1, 5, 2):
            answer = graph.run(pictures[:count])
            assert answer.seconds > 0
            assert list(answer.values) == ["age", "gender"]
            for output, values in answer.values.items():
                assert (values.shape, values.dtype) == ((count, 1), np.float32)
                np.testing.assert_allclose(values, expected[output][:count], rtol=1e-5, atol=1e-5)


def test_the_runtimes_are_installed_in_the_order_in_which_they_are_shown(tensorflow_1):
    assert [runtime.key for runtime in RUNTIMES] == ["tensorflow", "tensorflow1", "opencv", "onnxruntime", "litert"]
    found = {runtime.key: runtime.version() for runtime in RUNTIMES}
    assert (found["tensorflow"], found["tensorflow1"], found["opencv"]) == (tf.__version__, "1.15.5", cv2.__version__)
    assert None not in found.values()


def test_a_runtime_that_is_not_there_has_no_version_and_refuses(tmp_path, monkeypatch, written):
    monkeypatch.setenv("FACET_CACHE", str(tmp_path))
    folder, signature, *_ = written
    nobody = opencv_by(tmp_path / "no-python")
    assert (BY_KEY["tensorflow1"].version(), nobody.version()) == (None, None)
    for missing, reason in ((BY_KEY["tensorflow1"], "libshim.so"), (nobody, "No such file or directory")):
        with pytest.raises(RuntimeRefusal, match=reason), missing.open(folder / "graph.pb", signature):
            pass


def test_the_opencv_of_another_python_is_a_runtime_of_its_own(written):
    folder, signature, pictures, expected = written
    other = opencv_by(Path(sys.executable))
    assert (other.name, other.version()) == ("OpenCV", cv2.__version__)
    with other.open(folder / "graph.onnx", signature) as graph:
        np.testing.assert_allclose(graph.run(pictures).values["gender"], expected["gender"], atol=1e-5)


def test_a_file_of_a_format_that_a_runtime_does_not_read_is_refused_in_one_sentence(tmp_path):
    for name, sentence in {
        "a.tflite": "OpenCV reads pb, onnx, not litert",
        "a.h5": "expected one of .onnx, .pb, .tflite, or a SavedModel's folder",
    }.items():
        with pytest.raises(FacetError) as refused:
            BY_KEY["opencv"].open(tmp_path / name, SIGNATURE)
        assert str(refused.value) == f"{tmp_path / name}: {sentence}"


@pytest.mark.parametrize(("key", "name"), READERS, ids=[" ".join(pair) for pair in READERS])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 no graph"], ids=["empty", "other"])
def test_a_damaged_file_is_refused_with_a_reason_on_one_line(request, tmp_path, key, name, data):
    file = tmp_path / FILES[name]
    if name == "saved_model":
        file.mkdir()
        (file / "saved_model.pb").write_bytes(data)
    else:
        file.write_bytes(data)
    with pytest.raises(RuntimeRefusal) as refused, runtime(request, key).open(file, SIGNATURE) as graph:
        graph.run(np.zeros((1, 8, 8, 3), np.float32))
    assert re.fullmatch(r"\S.{5,159}", str(refused.value))


@pytest.mark.parametrize(("key", "name"), READERS, ids=[" ".join(pair) for pair in READERS])
def test_an_output_that_is_not_in_the_file_is_refused(request, written, key, name):
    folder, signature, pictures, _ = written
    other = Signature(signature.input, signature_of("height").outputs)
    with (
        pytest.raises(RuntimeRefusal),
        runtime(request, key).open(folder / FILES[name], other) as graph,
    ):
        graph.run(pictures)


def write_graph(path, build, dtype):
    with tf.Graph().as_default() as graph:
        build(tf.compat.v1.placeholder(dtype, (None, 8, 8, 3), name="x"))
    path.write_bytes(graph.as_graph_def().SerializeToString())


@pytest.mark.parametrize("key", ["tensorflow", "tensorflow1"])
def test_a_graph_of_bytes_gets_bytes(request, tmp_path, key):
    write_graph(tmp_path / "graph.pb", lambda x: tf.reduce_sum(tf.cast(x, tf.float32), (1, 2, 3), name="y"), tf.uint8)
    pictures = images(3, 8)
    with runtime(request, key).open(tmp_path / "graph.pb", signature_of("y", dtype="uint8")) as graph:
        found = graph.run(pictures).values["y"]
        with pytest.raises(RuntimeRefusal):
            graph.run(pictures.astype(np.float32))
    assert np.array_equal(found, pictures.astype(np.float32).sum((1, 2, 3))[:, np.newaxis])


def test_opencv_says_that_it_feeds_no_bytes(written):
    folder, signature, *_ = written
    with BY_KEY["opencv"].open(folder / "graph.pb", signature) as graph, pytest.raises(RuntimeRefusal) as refused:
        graph.run(images(1))
    assert str(refused.value) == "OpenCV feeds float32 images alone, this graph takes uint8"


def test_what_opencv_says_comes_without_its_marks(tmp_path):
    def build(x):
        features = tf.nn.relu(tf.nn.conv2d(x, np.eye(3, 2, dtype=np.float32)[None, None], 1, "SAME"))
        tf.reduce_mean(tf.nn.bias_add(features, [1.0, 2.0]), (1, 2), name="y")

    write_graph(tmp_path / "graph.pb", build, tf.float32)
    with pytest.raises(RuntimeRefusal) as refused, BY_KEY["opencv"].open(tmp_path / "graph.pb", SIGNATURE) as graph:
        graph.run(np.zeros((3, 8, 8, 3), np.float32))
    assert str(refused.value) == "(expected: 'end <= dims'), where 'end' is 5 must be less than or equal to 'dims' is 4"


def test_tensorflow_1_refuses_the_graph_that_keras_gives(tensorflow_1, tmp_path):
    model, _ = small_model(("age", "gender"))
    spec = tf.TensorSpec((None, 32, 32, 3), tf.float32, name="x")
    function = tf.function(lambda x: model(x, training=False), autograph=False).get_concrete_function(spec)
    raw = convert_variables_to_constants_v2(function)
    (tmp_path / "raw.pb").write_bytes(raw.graph.as_graph_def().SerializeToString())
    name = raw.outputs[0].name.partition(":")[0]
    with BY_KEY["tensorflow"].open(tmp_path / "raw.pb", signature_of(name, size=32)) as graph:
        assert graph.run(images(2).astype(np.float32)).values[name].shape == (2, 1)
    with pytest.raises(RuntimeRefusal, match=r"^NodeDef mentions attr 'explicit_paddings'"):
        BY_KEY["tensorflow1"].open(tmp_path / "raw.pb", signature_of(name, size=32)).__enter__()


def write_program(tmp_path, body):
    """Writes a program whose `run(images)` has the given body, and a file for it to load."""
    (tmp_path / "program.py").write_text(
        "import ctypes, os, signal, subprocess, sys, time\n"
        f"def open_graph(request):\n    def run(images):\n        {body}\n        return [images.sum((1, 2, 3))]\n"
        "    return run\n"
    )
    (tmp_path / "graph.pb").touch()


def child(tmp_path, body, **more):
    write_program(tmp_path, body)
    return open_in_child(tmp_path / "program.py", tmp_path / "graph.pb", SIGNATURE, **more)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed (signal 11)"),
        ("print('first\\nlast'); sys.stdout.flush(); ctypes.string_at(1)", "crashed (signal 11): last"),
        (
            "print('out of ideas', file=sys.stderr); sys.stderr.flush(); os._exit(3)",
            "ended (exit code 3): out of ideas",
        ),
        ("sys.exit('enough')", "ended (exit code 1): SystemExit: enough"),
        ("time.sleep(60)", "no answer within 2 s"),
        ("ctypes.PyDLL(None).sleep(60)", "no answer within 2 s"),
        ("raise ValueError('two\\nlines')", "two lines"),
        ("raise KeyError", "KeyError()"),
        ("images = 5", "'int' object has no attribute 'sum'"),
    ],
)
def test_how_a_child_fails_is_an_answer(tmp_path, body, reason):
    with child(tmp_path, body, limit=2) as graph, pytest.raises(RuntimeRefusal) as refused:
        graph.run(np.ones((1, 8, 8, 3), np.float32))
    assert str(refused.value) == reason
    assert graph.process.poll() is not None


def test_a_child_that_has_crashed_goes_on_refusing(tmp_path):
    with child(tmp_path, "os._exit(3)") as graph:
        for _ in range(2):
            with pytest.raises(RuntimeRefusal, match=r"^ended \(exit code 3\)$"):
                graph.run(np.ones((64, 64, 64, 3), np.float32))


def test_a_child_that_refuses_some_images_goes_on_with_others(tmp_path):
    with child(tmp_path, "assert len(images) < 3, 'too many'") as graph:
        with pytest.raises(RuntimeRefusal, match="too many"):
            graph.run(np.ones((3, 8, 8, 3), np.float32))
        assert graph.run(np.ones((2, 8, 8, 3), np.float32)).values["y"].tolist() == [[192.0], [192.0]]


def test_what_a_runtime_prints_does_not_get_between_the_answers(tmp_path, capfd):
    noise = "print('noise' * 100_000); sys.stdout.flush(); os.write(1, b'raw'); subprocess.run(['echo', 'more'])"
    with child(tmp_path, noise) as graph:
        for _ in range(2):
            assert graph.run(np.ones((2, 8, 8, 3), np.float32)).values["y"].tolist() == [[192.0], [192.0]]
    assert capfd.readouterr() == ("", "")


def test_the_childs_own_time_is_given(tmp_path):
    with child(tmp_path, "time.sleep(0.2)") as graph:
        seconds = graph.run(np.ones((1, 8, 8, 3), np.float32)).seconds
    assert 0.2 <= seconds < 2


def test_a_program_that_cannot_even_start_says_why(tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_runtime")
    (tmp_path / "graph.pb").touch()
    with pytest.raises(RuntimeRefusal) as refused:
        open_in_child(tmp_path / "broken.py", tmp_path / "graph.pb", SIGNATURE).__enter__()
    assert str(refused.value) == "ended (exit code 1): ModuleNotFoundError: No module named 'no_such_runtime'"


def test_an_interrupt_leaves_no_child(tmp_path):
    with pytest.raises(KeyboardInterrupt), child(tmp_path, "pass") as graph:
        raise KeyboardInterrupt
    assert graph.process.poll() == -signal.SIGKILL


PARENT = """
import sys
from pathlib import Path
import numpy as np
from models.description import Output
from models.export.runtimes.child import open_in_child
from models.export.signature import GraphInput, GraphOutput, Signature
from models.preprocessing import Preprocessing
folder = Path(sys.argv[1])
signature = Signature(GraphInput("x", (8, 8), Preprocessing()), (GraphOutput("y", 1, Output("y", "linear")),))
with open_in_child(folder / "program.py", folder / "graph.pb", signature) as graph:
    print(graph.process.pid, flush=True)
    if sys.argv[2] == "computing":
        graph.run(np.ones((1, 8, 8, 3), np.float32))
    sys.stdin.read()
"""


@pytest.mark.parametrize("busy", ["computing", "waiting"])
def test_a_child_is_gone_when_its_parent_is_killed(tmp_path, busy):
    write_program(tmp_path, "time.sleep(600)")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), busy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.2)
        assert is_alive(pid)
        parent.kill()
    ends = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not is_alive(pid)


def is_alive(pid):
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_the_programs_import_numpy_and_their_runtime_alone():
    found = {path.stem: sorted(imported(path) - set(sys.stdlib_module_names)) for path in PROGRAMS.glob("*.py")}
    assert found == {
        "__init__": [],
        "serve": ["numpy"],
        "run_litert": ["ai_edge_litert", "numpy"],
        "run_onnxruntime": ["numpy", "onnxruntime"],
        "run_opencv": ["cv2", "numpy"],
        "run_tensorflow_1": ["numpy"],
    }


def imported(path):
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}
