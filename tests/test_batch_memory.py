"""Memory of batches: used again, but never while somebody still looks at it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from hdf5_helper.reading import batch_memory
from hdf5_helper.reading.batch_memory import BatchMemory


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_the_memory_of_a_dropped_batch_is_given_out_again():
    memory = BatchMemory()
    first = memory.take((4, 5, 3))
    place = address(first)
    del first
    assert address(memory.take((5, 4, 3))) == place


def test_a_view_of_a_batch_keeps_its_memory_whatever_was_cut_out_of_what():
    memory = BatchMemory()
    batch = memory.take((8, 10, 10, 3))
    batch[:] = 7
    parts = [batch[2:4].reshape(2, -1)[:, ::2], memoryview(batch), np.asarray(batch[..., 0]).T, batch.view(np.int8)]
    place = address(batch)
    del batch
    while parts:
        other = memory.take((8, 10, 10, 3))
        other[:] = 0
        assert address(other) != place
        assert all((np.asarray(part) == 7).all() for part in parts)
        parts.pop()
        del other
    later = [memory.take((8, 10, 10, 3)) for _ in range(2)]
    assert place in map(address, later)


def test_memory_of_another_size_is_let_go():
    memory = BatchMemory()
    memory.take((4, 4, 3))
    assert len(memory._free) == 1
    other = memory.take((9, 9, 3))
    assert (other.shape, memory._free) == ((9, 9, 3), [])


def test_what_a_large_read_needed_is_not_kept(monkeypatch):
    monkeypatch.setattr(batch_memory, "_KEPT", 1000)
    memory = BatchMemory()
    kept = [memory.take((300,)) for _ in range(9)]
    del kept
    assert len(memory._free) == 3
    memory.take((1001,))
    assert memory._free == []


def test_threads_never_share_memory():
    memory, lock, held = BatchMemory(), threading.Lock(), set()

    def use(number: int) -> bool:
        batch = memory.take((1000,))
        place = address(batch)
        with lock:
            alone = place not in held
            held.add(place)
        batch[:] = number % 251
        alone = alone and bool((batch == number % 251).all())
        with lock:
            held.remove(place)
        return alone

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(5000)))


def test_an_empty_batch_is_an_empty_array():
    assert BatchMemory().take((0, 5, 5, 3)).shape == (0, 5, 5, 3)


def test_what_is_given_back_after_closing_is_let_go():
    memory = BatchMemory()
    held, _dropped = memory.take((300,)), memory.take((300,)).sum()
    memory.close()
    assert memory._free == []
    del held
    assert memory._free == []
