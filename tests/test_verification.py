import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from exported_files import BY_KEY
from small_models import small_model

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Silent
from models.export import export_model
from models.export.loading import read_exported
from models.export.options import ExportOptions
from models.interface.verification import RuntimeResult, refuse_disagreement, verify_export
from scripts.verify_export import command

SIDE = 32


def graph_bytes(name="gender", *, turned=False):
    """Gives a frozen graph of one sigmoid; `turned` turns the image first, which OpenCV 4.14 gets wrong."""
    kernel = np.array([[9.0], [-5.0], [-4.0]], np.float32)
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, (None, SIDE, SIDE, 3), name="x") / 255.0
        part = tf.transpose(image, [0, 2, 1, 3])[:, : SIDE // 4] if turned else tf.nn.relu(image)
        tf.sigmoid(tf.linalg.matmul(tf.reduce_mean(part, axis=[1, 2]), kernel), name=name)
    return graph.as_graph_def().SerializeToString()


def softmax_bytes(name, classes):
    """Gives a frozen graph of one softmax of the mean colours."""
    kernel = np.random.default_rng(1).normal(0, 3, (3, classes)).astype(np.float32)
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, (None, SIDE, SIDE, 3), name="x") / 255.0
        tf.nn.softmax(tf.linalg.matmul(tf.reduce_mean(image, axis=[1, 2]), kernel), name=name)
    return graph.as_graph_def().SerializeToString()


@pytest.fixture(scope="module")
def data(packed):
    return packed("agegender", count=60, side=SIDE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One model as `both.pb` and `both.onnx`, and graphs without sidecars."""
    folder = tmp_path_factory.mktemp("verify")
    model, description = small_model(("age", "gender"))
    export_model(model, description, folder / "both.pb", ExportOptions(verify_with=("tensorflow",)))
    export_model(model, description, folder / "both.onnx", ExportOptions("onnx", verify_with=("onnxruntime",)))
    (folder / "alone.pb").write_bytes(graph_bytes())
    (folder / "turned.pb").write_bytes(graph_bytes(turned=True))
    (folder / "groups.pb").write_bytes(softmax_bytes("age_group", 8))
    (folder / "hair.pb").write_bytes(graph_bytes("hair"))
    (folder / "bare.onnx").write_bytes((folder / "both.onnx").read_bytes())
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    """The folder as working directory, on a machine without TensorFlow 1.15."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FACET_CACHE", str(folder / "empty"))
    return folder


def verify(*words):
    """Runs the command in this process; `--verbose` leaves the test's own stderr alone."""
    command.main([*map(str, words), "--verbose"], standalone_mode=False)


def test_every_runtime_gives_the_figures_that_facet_evaluate_gives(facet, folder, data):
    runtimes = [BY_KEY["tensorflow"], BY_KEY["opencv"]]
    found = verify_export(read_exported(folder / "both.pb"), data, "all", runtimes, Silent())
    answer = facet("evaluate", "both.pb", "--data", data, "--split", "all", "--json", cwd=folder)
    expected = json.loads(answer.stdout)["metrics"]
    assert [result.runtime for result in found] == [runtime.title for runtime in runtimes]
    for result in found:
        assert result.reason == ""
        assert list(result.metrics) == list(expected) == ["age", "gender"]
        assert result.metrics["gender"]["accuracy"] == expected["gender"]["accuracy"]
        assert result.metrics["age"]["mae"] == pytest.approx(expected["age"]["mae"], abs=1e-4)
        assert result.seconds_one > 0
        assert result.images_per_second > 0
    assert found[0].difference == 0.0
    assert 0.0 <= found[1].difference < 1e-4


def test_classes_are_compared_in_all_their_columns_and_measured(here, data):
    runtimes = [BY_KEY["tensorflow"], BY_KEY["opencv"]]
    found = verify_export(read_exported(here / "groups.pb"), data, "all", runtimes, Silent())
    assert [result.reason for result in found] == ["", ""]
    first, second = (result.metrics["age_group"] for result in found)
    assert first == second
    assert np.shape(first["confusion"]) == (8, 8)
    assert 0.0 < found[1].difference < 1e-4


def test_every_runtime_is_compared_with_the_first_that_ran(here, data):
    runtimes = [BY_KEY[key] for key in ("tensorflow1", "tensorflow", "opencv", "tensorflow")]
    found = [
        result.difference
        for result in verify_export(read_exported(here / "turned.pb"), data, "all", runtimes, Silent())
    ]
    assert (found[0], found[1], found[3]) == (None, 0.0, 0.0)
    assert found[2] > 1e-3


def test_a_table_says_what_each_runtime_measures_and_which_was_not_checked(here, data, capsys):
    verify("both.pb", "--data", data, "--split", "all")
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("evaluating")]
    titles = [BY_KEY[key].title for key in ("tensorflow", "tensorflow1", "opencv")]
    assert lines[0] == "runtime                           age           gender  from first    1 image   images/s"
    assert [line[:20].rstrip() for line in lines[1:4]] == titles
    assert lines[1].split()[2] == lines[3].split()[2] == "mae"
    assert lines[1].split()[4:6] == lines[3].split()[4:6]
    assert float(lines[3].split()[6]) < 1e-4
    assert lines[2] == (
        "TensorFlow 1.15      not checked: not installed; `facet doctor --fetch tensorflow-1.15` fetches it (110 MB)"
    )
    assert lines[4:] == ["next: give both.pb to the program that uses it"]


def test_as_json_it_is_one_list(here, data, capsys):
    verify("both.onnx", "--data", data, "--split", "all", "--json")
    values = json.loads(capsys.readouterr().out)
    assert [value["runtime"] for value in values] == [BY_KEY[key].title for key in ("opencv", "onnxruntime")]
    keys = ["runtime", "reason", "metrics", "difference", "seconds_one", "images_per_second"]
    assert [list(value) for value in values] == [keys, keys]
    assert [sorted(value["metrics"]) for value in values] == [["age", "gender"]] * 2


def test_a_graph_without_a_sidecar_is_verified(here, data, capsys):
    verify("alone.pb", "--data", data, "--split", "all", "--verify-with", "tensorflow, opencv")
    out = capsys.readouterr().out
    assert "gender  from first" in out
    assert out.splitlines()[-1] == "next: give alone.pb to the program that uses it"


def test_runtimes_that_disagree_are_shown_and_refused_in_one_sentence(facet, folder, data):
    words = ("--data", data, "--split", "all", "--verify-with", "tensorflow,opencv")
    answer = facet("verify-export", "turned.pb", *words, cwd=folder)
    titles = [BY_KEY[key].title for key in ("tensorflow", "opencv")]
    assert answer.code == 1
    assert [line[:20].rstrip() for line in answer.stdout.splitlines()[1:]] == titles
    shown = float(answer.stdout.splitlines()[2].split()[4])
    assert shown > 1e-3
    assert answer.stderr == (
        f"facet: turned.pb: {titles[1]} differs from {titles[0]} by {shown:.1e}, expected at most 1e-04\n"
    )


def result(name, difference=None, reason=""):
    return RuntimeResult(name, reason, None if reason else {}, difference)


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (
            [result("A", 0.0), result("B", 1.1e-4)],
            "x.pb: B differs from A by 1.1e-04, expected at most 1e-04",
        ),
        (
            [result("A", reason="crashed"), result("B", 0.0), result("C", math.inf)],
            "x.pb: C differs from B by inf, expected at most 1e-04",
        ),
        ([result("A", 0.0), result("B", math.nan)], "x.pb: B differs from A by nan, expected at most 1e-04"),
        (
            [result("A", reason="not checked: not installed; get it"), result("B", reason="cannot run it: no")],
            "x.pb: no runtime ran it, expected at least one: A not checked: not installed; get it",
        ),
    ],
)
def test_a_disagreement_is_one_sentence(results, sentence):
    with pytest.raises(FacetError) as refused:
        refuse_disagreement(Path("x.pb"), results)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "results",
    [
        [result("A", 0.0)],
        [result("A", 0.0), result("B", 1e-4), result("C", reason="cannot run it: no")],
    ],
)
def test_agreement_within_the_limit_is_no_mistake(results):
    refuse_disagreement(Path("x.pb"), results)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gone.pb"], "gone.pb: no such file, expected one that `facet export` wrote"),
        (["first-run"], "first-run: no such file, expected one that `facet export` wrote"),
        (["bare.onnx"], "bare.onnx: has no sidecar, expected bare.onnx.json beside it"),
        (["hair.pb"], "{data}: has no label that the model predicts, expected hair"),
        (["both.pb", "--split", "tests"], "--split 'tests': expected one of all, test, train, validation (did you"),
        (["both.onnx", "--verify-with", "litert"], "--verify-with 'litert': expected one of onnxruntime, opencv"),
        (["both.pb", "--verify-with", "tensorflow1"], "--verify-with tensorflow1: TensorFlow 1.15 is not installed; "),
    ],
)
def test_a_mistake_is_one_sentence(here, data, words, sentence):
    with pytest.raises(FacetError) as refused:
        verify(words[0], "--verify-with", "tensorflow", "--data", data, *words[1:])
    assert str(refused.value).startswith(sentence.format(data=data))


def test_missing_data_is_one_sentence(here):
    with pytest.raises(FacetError) as refused:
        verify("both.pb", "--data", "gone.h5")
    assert str(refused.value) == "--data gone.h5: no such file, expected a packed HDF5 file"
