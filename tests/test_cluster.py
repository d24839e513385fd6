import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdf5_helper.errors import FacetError
from models.training.distribution.cluster import Cluster, cluster_from, expand_hosts

THREE = ("10.0.0.1:2222", "10.0.0.2:2222", "[fe80::3]:2222")


def config(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def step(**changes):
    """The variables of a task of `srun -N 2 -n 4` in SLURM, as srun sets them."""
    variables = {
        "SLURM_JOB_ID": "123456",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "n[2,10]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_PROCID": "2",
        "SLURM_NODEID": "1",
        "SLURM_LOCALID": "0",
        **changes,
    }
    return {name: value for name, value in variables.items() if value is not None}


def refusal(environ):
    with pytest.raises(FacetError) as refused:
        cluster_from(environ)
    return str(refused.value)


def test_a_cluster_knows_the_chief_the_count_and_names():
    cluster = Cluster(THREE, 0)
    assert (cluster.chief, cluster.count, cluster.name(1)) == (True, 3, "worker 1 (10.0.0.2:2222)")
    assert not Cluster(THREE, 2).chief


# ---- TF_CONFIG


@pytest.mark.parametrize(
    ("cluster", "task", "index"),
    [
        ({"worker": THREE}, ("worker", 0), 0),
        ({"worker": THREE}, ("worker", 2), 2),
        ({"chief": THREE[:1], "worker": THREE[1:]}, ("chief", 0), 0),
        ({"chief": THREE[:1], "worker": THREE[1:]}, ("worker", 0), 1),
        ({"worker": THREE[1:], "chief": THREE[:1]}, ("worker", 1), 2),
    ],
)
def test_tf_config_gives_the_workers_with_the_chief_first(cluster, task, index):
    task = {"type": task[0], "index": task[1]}
    assert cluster_from(config(cluster, task)) == Cluster(THREE, index)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"TF_CONFIG": ""},
        {"TF_CONFIG": "{}"},
        {"TF_CONFIG": '{"cluster": {}}'},
        config({"worker": ["a:1"]}, {"type": "worker", "index": 0}),
        config({"chief": ["a:1"]}, {"type": "chief", "index": 0}),
        step(TF_CONFIG="{}"),
    ],
)
def test_one_worker_alone_is_no_cluster(environ):
    assert cluster_from(environ) is None


def test_tf_config_beats_slurm():
    both = step() | config({"worker": THREE}, {"type": "worker", "index": 1})
    assert cluster_from(both) == Cluster(THREE, 1)


@given(st.integers(2, 40), st.data())
def test_every_worker_of_a_tf_config_finds_its_place(count, data):
    cluster = Cluster(tuple(f"host{n}:{2000 + n}" for n in range(count)), data.draw(st.integers(0, count - 1)))
    environ = config({"worker": list(cluster.workers)}, {"type": "worker", "index": cluster.index})
    assert cluster_from(environ) == cluster


EXPECTED = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "is no JSON (Expecting value: line 1 column 1 (char 0)), expected such as"),
        ("[1]", "found [1], expected such as"),
        ('{"cluster": ["a:1"]}', 'found {"cluster": ["a:1"]}, expected such as'),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "found the task null, expected such as"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": "0"}}',
            'found the task {"type": "worker", "index": "0"}, expected such as',
        ),
    ],
)
def test_a_tf_config_of_another_shape_is_shown_beside_a_right_one(text, sentence):
    assert refusal({"TF_CONFIG": text}) == f"TF_CONFIG: {sentence} {EXPECTED}"


@pytest.mark.parametrize(
    ("cluster", "task", "sentence"),
    [
        (
            {"worker": ["a:1"], "ps": ["b:1"]},
            ("worker", 0),
            "has the task type 'ps', expected one of chief, worker: every worker trains alike",
        ),
        (
            {"worker": ["a:1"]},
            ("evaluator", 0),
            "has the task type 'evaluator', expected one of chief, worker: every worker trains alike",
        ),
        ({"worker": "a:1"}, ("worker", 0), 'found "a:1" for worker, expected a list of host:port'),
        ({"worker": ["a:1", 2]}, ("worker", 0), 'found ["a:1", 2] for worker, expected a list of host:port'),
        ({"chief": ["a:1", "b:1"]}, ("chief", 0), "has 2 chiefs (a:1, b:1), expected one at most"),
        ({"worker": ["a:1", "b:1"]}, ("worker", 2), "this process is worker 2, but 2 of that type are listed"),
        ({"worker": ["a:1", "b:1"]}, ("worker", -1), "this process is worker -1, but 2 of that type are listed"),
        ({"worker": ["a:1", "b:1"]}, ("chief", 0), "this process is chief 0, but 0 of that type are listed"),
        (
            {"chief": ["a:1"], "worker": ["a:1"]},
            ("worker", 0),
            "worker address 'a:1' is there twice, expected each address once",
        ),
        ({"worker": ["a", "b"]}, ("worker", 0), "worker address 'a': expected host:port with a port from 1 to 65535"),
        (
            {"worker": ["a:1", "b:65536"]},
            ("worker", 0),
            "worker address 'b:65536': expected host:port with a port from 1 to 65535",
        ),
    ],
)
def test_a_tf_config_that_cannot_be_right_is_refused_in_one_sentence(cluster, task, sentence):
    task = {"type": task[0], "index": task[1]}
    assert refusal(config(cluster, task)) == f"TF_CONFIG: {sentence}"


# ---- SLURM


def test_a_slurm_step_gives_its_tasks_node_after_node_in_the_order_of_its_list():
    workers = ("n2:15456", "n2:15457", "n10:15456", "n10:15457")  # 12000 + 123456 % 20000, and one more a task
    assert cluster_from(step()) == Cluster(workers, 2)


def test_nodes_may_hold_different_numbers_of_tasks():
    environ = step(SLURM_STEP_NODELIST="b,a[1-2]", SLURM_STEP_TASKS_PER_NODE="2,1(x2)", FACET_PORT="3000")
    assert cluster_from(environ) == Cluster(("b:3000", "b:3001", "a1:3000", "a2:3000"), 2)


def test_an_older_slurm_counts_the_tasks_of_a_step_in_another_variable():
    assert cluster_from(step(SLURM_STEP_NUM_TASKS=None, SLURM_NTASKS="4")) == cluster_from(step())


@pytest.mark.parametrize(
    "environ",
    [
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "n[1-4]"},  # salloc
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},  # sbatch, without srun
        step(SLURM_STEP_NUM_TASKS="1", SLURM_STEP_NODELIST="n1", SLURM_NTASKS="4", SLURM_PROCID="0"),  # salloc's shell
    ],
    ids=["allocation", "batch script", "interactive step"],
)
def test_an_allocation_without_a_step_of_several_tasks_is_no_cluster(environ):
    assert cluster_from(environ) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"SLURM_STEP_NUM_TASKS": "many"}, "SLURM_STEP_NUM_TASKS is 'many', expected a whole number"),
        ({"SLURM_JOB_ID": None}, "SLURM_JOB_ID is '', expected a whole number"),
        ({"FACET_PORT": "http"}, "FACET_PORT is 'http', expected a whole number"),
        ({"SLURM_PROCID": "4"}, "index 4: expected 0 to 3 among 4 workers"),
        (
            {"FACET_PORT": "65535"},
            "worker address 'n2:65536': expected host:port with a port from 1 to 65535",
        ),
        (
            {"SLURM_STEP_TASKS_PER_NODE": None},
            "SLURM_STEP_TASKS_PER_NODE is '', expected such as 2(x3),1",
        ),
        (
            {"SLURM_STEP_NODELIST": "n[2-"},
            "SLURM_STEP_NODELIST is 'n[2-', expected such as rack[1-2]n[01-04],login",
        ),
        (
            {"SLURM_STEP_TASKS_PER_NODE": "4"},
            "4 tasks, SLURM_STEP_NODELIST 'n[2,10]' and SLURM_STEP_TASKS_PER_NODE '4' do not fit together",
        ),
        (
            {"SLURM_PROCID": "1"},
            "task 1 is number 0 on node 1, expected number 1 on node 0: start with srun --distribution=block",
        ),
    ],
)
def test_slurm_variables_that_cannot_be_right_are_refused_in_one_sentence(changes, sentence):
    assert refusal(step(**changes)) == f"SLURM: {sentence}"


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("login", ("login",)),
        ("n[1-3]", ("n1", "n2", "n3")),
        ("n[8-11]", ("n8", "n9", "n10", "n11")),
        ("n[008-010,2]", ("n008", "n009", "n010", "n2")),
        ("m[1-2],login,m[7,9-10]", ("m1", "m2", "login", "m7", "m9", "m10")),
        ("rack[1-2]n[01-02],login", ("rack1n01", "rack1n02", "rack2n01", "rack2n02", "login")),
        ("gpu-[1-2]-a.example.org", ("gpu-1-a.example.org", "gpu-2-a.example.org")),
        ("[1-2]", ("1", "2")),
    ],
)
def test_host_lists_are_expanded_in_their_own_order(text, hosts):
    assert expand_hosts(text) == hosts


@pytest.mark.parametrize("text", ["", ",", "a,", ",a", "a b", "n[", "n[]", "n]", "n[1-]", "n[a]", "n[1,]", "n[[1]]"])
def test_what_is_no_host_list_is_refused(text):
    with pytest.raises(FacetError, match=r"^SLURM_STEP_NODELIST is .*, expected such as rack"):
        expand_hosts(text)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99), st.integers(0, 9)), min_size=1, max_size=9))
def test_host_lists_with_one_bracket_are_expanded_as_tensorflow_does(parts):
    from tensorflow.python.distribute.cluster_resolver.slurm_cluster_resolver import expand_hostlist

    text = ",".join(f"{name}[{low:02d}-{low + more:02d},7]" for name, low, more in parts)
    assert list(expand_hosts(text)) == expand_hostlist(text)
