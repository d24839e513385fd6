import ctypes

import numpy as np
import pytest
from fuzzing import Outcome, mutations, survives

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import NamedArrays

DATA = bytes(range(256)) * 8


def choosy(path):
    """Reads every other file."""
    if sum(path.read_bytes()) % 2:
        raise FacetError(f"{path}: an odd file, expected an even one")
    return NamedArrays("even", {"a.weight": np.zeros(3)}, "OIHW")


def greedy(path):
    return NamedArrays("large", {"a.weight": np.zeros(1 << 28)}, "OIHW")


def careless(path):
    return {}[path]


def talkative(path):
    raise FacetError(f"{path}: one\nthing and another")


def crashing(path):
    ctypes.string_at(0)


def test_mutants_are_the_same_for_the_same_seed_and_others_for_another():
    mutants = list(mutations(DATA, 100, 7))
    assert mutants == list(mutations(DATA, 100, 7))
    assert len(set(mutants)) > 95
    assert not set(mutants) & set(mutations(DATA, 100, 8)) - {b"", DATA}


def test_short_files_are_damaged_too():
    assert len([mutant for data in (b"", b"a", b"abc") for mutant in mutations(data, 50, 0)]) == 150


def test_what_reads_or_refuses_survives(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    outcome = survives("test_fuzzing:choosy", path, 50)
    assert outcome.read + outcome.refused == 50
    assert outcome != Outcome(0, 50) != Outcome(50, 0)
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        ("greedy", "MemoryError"),
        ("careless", "KeyError"),
        ("talkative", "not one line of text"),
        ("crashing", "exit code -11"),
    ],
)
def test_a_reader_that_does_anything_else_fails_and_leaves_the_mutant(tmp_path, reader, problem):
    path = tmp_path / "file"
    path.write_bytes(DATA)
    with pytest.raises(AssertionError, match=problem):
        survives(f"test_fuzzing:{reader}", path, 1)
    assert (tmp_path / "file.mutant").exists()
