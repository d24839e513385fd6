import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster
from models.training.distribution.devices import Devices, check_with_cluster, parse_devices

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = "expected auto, cpu, cpu:N with N of at least 1, gpu, or gpu and different numbers such as gpu:0,1"


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", Devices()),
        ("cpu", Devices("cpu")),
        ("cpu:4", Devices("cpu", 4)),
        ("gpu", Devices("gpu")),
        ("gpu:1", Devices("gpu", numbers=(1,))),
        ("gpu:2,0", Devices("gpu", numbers=(2, 0))),
    ],
)
def test_devices_are_read_and_written_by_one_name(text, devices):
    assert parse_devices(text) == devices
    assert str(devices) == text


@pytest.mark.parametrize(
    "text",
    ["", "tpu", "CPU", "auto:1", "cpu:", "cpu:0", "cpu:-1", "cpu:2,3", "cpu:²", "cpu:2\n", "gpu:", "gpu:0,", "gpu:1,1"],
)
def test_what_is_no_choice_of_devices_is_refused_in_one_sentence(text):
    with pytest.raises(FacetError) as refused:
        parse_devices(text)
    assert str(refused.value) == f"--devices {text}: {EXPECTED}"


@given(
    st.builds(Devices, st.just("cpu"), st.integers(1, 9999))
    | st.builds(Devices, st.just("gpu"), st.just(1), st.lists(st.integers(0, 99), unique=True).map(tuple))
)
def test_every_choice_of_devices_has_a_text_that_is_read_back(devices):
    assert parse_devices(str(devices)) == devices


@pytest.mark.parametrize(
    "choice", [("auto", 2), ("gpu", 2), ("cpu", 1, (0,)), ("auto", 1, (0,)), ("tpu",), ("gpu", 1, (-1,))]
)
def test_an_impossible_choice_of_devices_cannot_be_made(choice):
    with pytest.raises(FacetError, match=r"^--devices .*: expected auto"):
        Devices(*choice)


def test_several_cpu_replicas_in_one_worker_of_several_are_refused():
    cluster = Cluster(("a:1", "b:1"), 0)
    for devices, among in ((Devices("cpu", 2), None), (Devices("cpu"), cluster), (Devices("gpu"), cluster)):
        check_with_cluster(devices, among)
    with pytest.raises(FacetError) as refused:
        check_with_cluster(Devices("cpu", 2), cluster)
    assert str(refused.value) == (
        "--devices cpu:2 together with 2 workers: a worker has one CPU replica,"
        " expected --devices cpu and as many workers as replicas"
    )


# ---- in processes of their own: TensorFlow's devices are chosen once

START = """
import json
from hdf5_helper.errors import FacetError
from models.training.distribution.devices import configure_devices, parse_devices
def names(text):
    try:
        return configure_devices(parse_devices(text))
    except FacetError as error:
        return str(error)
import tensorflow as tf
"""


def answers(code):
    """Gives what `answer` holds once a process of its own has run the code."""
    command = [sys.executable, "-c", f"{START}{code}\nprint(json.dumps(answer))"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_cpu_is_split_into_replicas_that_compute_together_and_cannot_be_split_again():
    code = """
answer = [names("cpu:2"), names("cpu:2")]
strategy = tf.distribute.MirroredStrategy(answer[0])
context = tf.distribute.get_replica_context
run = strategy.run(lambda: context().replica_id_in_sync_group + context().num_replicas_in_sync)
answer += [[int(value) for value in strategy.experimental_local_results(run)]]
answer += [names("cpu:2"), names("cpu:3"), names("cpu"), names("auto")]
"""
    late = "--devices cpu:3: TensorFlow was used in this process before, expected devices to be chosen first"
    two = ["CPU:0", "CPU:1"]
    assert answers(code) == [two, two, [2, 3], two, late, ["CPU:0"], ["CPU:0"]]


def test_gpus_that_are_not_there_are_refused_with_what_was_found():
    code = """
found = len(tf.config.list_physical_devices("GPU"))
answer = [found, names(f"gpu:{found}")]
"""
    found, sentence = answers(code)
    here = {0: "no GPU", 1: "1 GPU (numbered from 0)"}.get(found, f"{found} GPUs (numbered from 0)")
    assert sentence == f"--devices gpu:{found}: TensorFlow finds {here} on this machine, expected those asked for"


# ---- on machines that have them


def gpus():
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


@pytest.mark.gpu
def test_all_gpus_are_taken_by_default_and_their_memory_as_it_is_needed():
    code = """
answer = [names("auto"), names("gpu")]
found = tf.config.list_physical_devices("GPU")
answer += [[tf.config.experimental.get_memory_growth(gpu) for gpu in found]]
tf.zeros(10).numpy()
answer += [tf.config.experimental.get_memory_info("GPU:0")["current"], names("auto")]
"""
    default, asked, growth, memory, later = answers(code)
    assert default == asked == later == [f"GPU:{number}" for number in range(len(growth))]
    assert growth == [True] * len(growth)
    assert 0 < memory < 100_000_000


@pytest.mark.gpu
def test_on_a_machine_with_gpus_the_cpu_alone_can_be_chosen():
    code = """
answer = [names("cpu"), len(tf.config.list_logical_devices("GPU")), tf.zeros(10).device[-5:]]
"""
    assert answers(code) == [["CPU:0"], 0, "CPU:0"]


@pytest.mark.gpu
def test_gpus_cannot_be_chosen_once_tensorflow_has_computed():
    code = """
tf.zeros(10).numpy()
answer = [names("gpu:0"), names("cpu"), names("auto")]
"""
    late = "TensorFlow was used in this process before, expected devices to be chosen first"
    assert answers(code) == [
        f"--devices gpu:0: {late}",
        f"--devices cpu: {late}",
        [f"GPU:{number}" for number in range(gpus())],
    ]


@pytest.mark.gpu
def test_one_gpu_of_two_is_chosen_and_numbered_from_0():
    if gpus() < 2:
        pytest.skip("two GPUs are needed")
    code = """
answer = [names("gpu:1"), [gpu.name for gpu in tf.config.get_visible_devices("GPU")]]
answer += [len(tf.config.list_logical_devices("GPU"))]
"""
    assert answers(code) == [["GPU:0"], ["/physical_device:GPU:1"], 1]


@pytest.mark.gpu
def test_two_gpus_compute_together():
    if gpus() < 2:
        pytest.skip("two GPUs are needed")
    code = """
answer = [names("gpu:0,1")]
strategy = tf.distribute.MirroredStrategy(answer[0])
total = strategy.reduce("SUM", strategy.run(lambda: tf.ones(())), axis=None)
answer += [float(total)]
"""
    assert answers(code) == [["GPU:0", "GPU:1"], 2.0]
