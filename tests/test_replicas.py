import numpy as np

from models.training.distribution.replicas import Replicas


def test_one_device_has_the_whole_batch():
    replicas, rows = Replicas(), np.arange(6).reshape(3, 2)
    assert (replicas.count, replicas.local, replicas.workers, replicas.chief) == (1, 1, 1, True)
    assert replicas.share(rows, 0).tolist() == rows.tolist()


def test_values_travel_to_the_device_and_back():
    replicas = Replicas()
    spread = replicas.spread(lambda part: {"a": np.arange(3, dtype=np.float32), "b": [np.float32(part)]})
    assert replicas.first_of(spread["a"]).tolist() == [0, 1, 2]
    assert replicas.first_of(spread["b"][0]) == 0


def test_alone_the_chiefs_word_is_ones_own():
    assert Replicas().agree("anything")
    assert Replicas().chiefs({"run": "ä", "steps": [1, 2]}) == {"run": "ä", "steps": [1, 2]}
