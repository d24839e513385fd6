"""Threads that read: one task by several, results ahead of their use; and both in a fork."""

import itertools
import os
import threading
import time

import pytest

from hdf5_helper.reading.threads import Threads, ahead


def test_batches_are_made_at_most_three_ahead():
    made = []
    for number in ahead(lambda n: made.append(n) or n, range(20)):
        time.sleep(0.002)
        assert len(made) <= number + 4


def test_an_error_while_making_a_batch_is_raised_in_its_place():
    iterator = ahead(lambda n: 1 // (3 - n), range(9))
    assert [next(iterator) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(iterator)


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    for _ in ahead(lambda n: n, range(1000)):
        break
    iterator = ahead(lambda n: n, range(1000))
    next(iterator)
    iterator.close()
    assert threading.active_count() == before


def test_many_threads_give_results_in_the_order_of_their_items():
    def slowly(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    assert list(ahead(slowly, range(60), threads=3)) == [*range(60)]


def test_a_fork_in_the_middle_goes_on_with_every_item():
    numbers = ahead(lambda n: n, range(50), threads=2)
    first = [next(numbers) for _ in range(5)]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, bytes(numbers))
        os._exit(0)
    os.close(write)
    with open(read, "rb") as answers:
        assert [*answers.read()] == [*range(5, 50)]
    assert os.waitpid(child, 0)[1] == 0
    assert [*first, *numbers] == [*range(50)]


def test_a_task_runs_on_as_many_threads_at_once_as_asked():
    threads = Threads(3)
    for count, expected in ((3, 3), (1, 1), (2, 2), (9, 3)):
        meeting, names = threading.Barrier(expected, timeout=10), []

        def task(meeting=meeting, names=names) -> None:
            meeting.wait()
            names.append(threading.get_ident())

        threads.team(count).run(task)
        assert len(set(names)) == len(names) == expected
    threads.close()


def test_the_error_of_any_thread_is_raised_when_all_are_done():
    threads, turns, done = Threads(2), iter(range(20)), []

    def task() -> None:
        for turn in turns:
            time.sleep(0.001)
            if turn == 3:
                raise ValueError(turn)
            done.append(turn)

    with pytest.raises(ValueError, match="3"):
        threads.team(2).run(task)
    assert sorted(done) == [turn for turn in range(20) if turn != 3]
    threads.close()


def test_a_fork_makes_nothing_ahead_that_nobody_takes():
    made: list[int] = []
    numbers = ahead(lambda n: made.append(n) or n, itertools.count(), threads=2)
    next(numbers)
    child = os.fork()
    if not child:
        made.clear()
        taken = [next(numbers) for _ in range(20)]
        time.sleep(0.05)
        os._exit(0 if taken == made == [*range(1, 21)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    numbers.close()


def test_whoever_is_done_does_not_wait_for_helpers_that_have_not_begun():
    threads, release = Threads(2), threading.Event()
    busy = [threading.Thread(target=threads.team(2).run, args=(release.wait,)) for _ in range(2)]
    for thread in busy:
        thread.start()
    time.sleep(0.05)
    threads.team(2).run(lambda: None)  # every thread of the pool waits
    release.set()
    for thread in busy:
        thread.join()
    threads.close()
