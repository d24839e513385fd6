"""Damaged files for the readers of foreign weights, and a process that reads them under limits.

    python tests/fuzzing.py MODULE:FUNCTION FILE COUNT SEED

reads COUNT mutants of FILE (as FILE.mutant) and prints how many were read and how many refused. It ends with an
error at the first mutant that does anything but that; the mutant is then left in FILE.mutant.
"""

import faulthandler
import importlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdf5_helper.errors import FacetError

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 10  # for one mutant
MEMORY = 1 << 30  # beyond the file's size and what the imports took

#: Written over 4 or 8 bytes: the edges of what lengths, counts, offsets and types are read as.
HOSTILE = (0, 1, -1, 2, 7, 127, 128, 255, 256, 65_535, 10**6, 2**30, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32)
HOSTILE_LONGS = (2**40, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 8)
#: Half of all damage hits so many bytes at the start: there stands what tells how to read the rest.
HEAD = 1024

Random = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """How many mutants were read as if nothing were wrong, and how many refused by a sentence."""

    read: int
    refused: int


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Gives `count` damaged copies of a file, damaged once, seldom more often; the same for the same seed."""
    for number in range(count):
        random = np.random.default_rng((seed, number))
        mutant = bytearray(data)
        for _ in range(min(random.geometric(0.7), 4)):
            DAMAGE[random.integers(len(DAMAGE))](mutant, random)
        yield bytes(mutant)


def survives(reader: str, path: Path, count: int, seed: int = 0) -> Outcome:
    """Reads `count` mutants of a file in a process of its own.

    `reader` is such as `models.pretrained.caffe:read_caffe`. Fails where the process died, hung, took too much memory,
    or raised anything but a FacetError of one line that begins with the file's path.
    """
    command = [sys.executable, __file__, reader, str(path), str(count), str(seed)]
    limit = 60 + 2 * count
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, cwd=ROOT)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return Outcome(**json.loads(done.stdout))


def _position(data: bytearray, random: Random) -> int:
    end = min(len(data), HEAD) if random.integers(2) else len(data)
    return int(random.integers(max(end, 1)))


def _truncate(data: bytearray, random: Random) -> None:
    del data[_position(data, random) :]


def _flip_bits(data: bytearray, random: Random) -> None:
    for _ in range(random.integers(1, 9) if data else 0):
        data[_position(data, random)] ^= 1 << int(random.integers(8))


def _set_bytes(data: bytearray, random: Random) -> None:
    start = _position(data, random)
    length = len(data[start : start + int(random.integers(1, 17))])
    data[start : start + length] = bytes([255 * int(random.integers(2))]) * length


def _hostile_integer(data: bytearray, random: Random) -> None:
    size = int(random.choice((4, 8)))
    numbers = HOSTILE if size == 4 else HOSTILE + HOSTILE_LONGS
    number = numbers[random.integers(len(numbers))] % (1 << 8 * size)
    start = _position(data, random)
    data[start : start + size] = number.to_bytes(size, "little")


def _hostile_text(data: bytearray, random: Random) -> None:
    """Writes a number in digits over a few bytes: what hurts formats that are text."""
    start = _position(data, random)
    number = str((HOSTILE + HOSTILE_LONGS)[random.integers(len(HOSTILE + HOSTILE_LONGS))]).encode()
    data[start : start + int(random.integers(1, 9))] = number


def _chunk(data: bytearray, random: Random) -> slice:
    start = _position(data, random)
    return slice(start, start + int(random.integers(1, 65)))


def _duplicate(data: bytearray, random: Random) -> None:
    start = _position(data, random)
    data[start:start] = data[_chunk(data, random)]


def _swap(data: bytearray, random: Random) -> None:
    """Copies one chunk over another, and that one over the first."""
    one, other = _chunk(data, random), _chunk(data, random)
    data[one], data[other] = data[other], data[one]


DAMAGE: tuple[Callable[[bytearray, Random], None], ...] = (
    _truncate,
    _flip_bits,
    _set_bytes,
    _hostile_integer,
    _hostile_integer,
    _hostile_text,
    _duplicate,
    _swap,
)


def read_or_refuse(read: Callable[[Path], Any], path: Path) -> bool:
    """Gives whether a file was read, its arrays touched at both ends; False where one sentence refused it."""
    try:
        found = read(path)
    except FacetError as error:
        sentence = str(error)
        assert sentence.startswith(f"{path}: "), f"does not begin with the file's path: {sentence}"
        assert sentence.isprintable(), f"not one line of text: {sentence!r}"
        assert len(sentence) < 2000, f"too long to read: {len(sentence)} characters"
        return False
    for array in found.arrays.values():
        if array.size:
            array.flat[0], array.flat[-1]
    return True


def _limit_memory(beyond: int) -> None:
    """Lets every allocation fail that goes `beyond` the address space of now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + beyond
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _main(reader: str, file: str, count: str, seed: str) -> None:
    module, function = reader.split(":")
    read = getattr(importlib.import_module(module), function)
    original = Path(file).read_bytes()
    path = Path(file + ".mutant")
    _limit_memory(MEMORY + len(original))
    outcomes = []
    for mutant in mutations(original, int(count), int(seed)):
        path.write_bytes(mutant)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        outcomes.append(read_or_refuse(read, path))
        faulthandler.cancel_dump_traceback_later()
    path.unlink(missing_ok=True)
    print(json.dumps(asdict(Outcome(sum(outcomes), len(outcomes) - sum(outcomes)))))  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    _main(*sys.argv[1:])
