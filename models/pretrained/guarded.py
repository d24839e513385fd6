"""Lets a library that may crash on hostile bytes (libhdf5) read a file in a process of its own first."""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from hdf5_helper.errors import FacetError

#: Address space beyond what the process has once it started and twice the file's size: its map and its arrays. Below
#: 1 GB, so that who reads the file next has a little more.
_SPARE_BYTES = 960 << 20

#: The start of the process included; a file gets a second more for each so many bytes: they may be compressed.
_SECONDS, _BYTES_A_SECOND = 9.0, 10_000_000

#: What the process exits with when it has written the sentence on its standard output.
_REFUSED = 3


def survives(path: Path, reader: str) -> None:
    """Reads a file in a process of its own, with 960 MB and twice its size, 9 s and 1 s for each 10 MB.

    Where there is no `/proc` (macOS, Windows) the time is limited alone.

    Args:
        path: the file.
        reader: `module:function`; the function takes the path, and what it gives is thrown away. The module must not
            import TensorFlow: the process starts in 0.3 s.

    Raises:
        FacetError: what the reader raised, word for word; or it crashed, failed otherwise, or passed a limit.
    """
    size = path.stat().st_size if path.is_file() else 0
    command = [sys.executable, "-P", "-m", __name__, str(path), reader, str(_SPARE_BYTES + 2 * size)]
    seconds = _SECONDS + size / _BYTES_A_SECOND
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FacetError(f"{path}: still not read after {seconds:.0f} s, expected an undamaged file") from None
    if done.returncode == _REFUSED:
        raise FacetError(json.loads(done.stdout.splitlines()[-1]))
    if done.returncode:
        raise FacetError(f"{path}: reading it crashes ({_cause(done.returncode)}), expected an undamaged file")


def _cause(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def _limit_memory(spare: int) -> None:
    """Lets this process take `spare` bytes of address space more; it leaves no core file."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        highest = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = used + spare if highest == resource.RLIM_INFINITY else min(used + spare, highest)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, highest))
    except (ImportError, OSError, ValueError):
        return


def _child(path: Path, reader: str, spare: int) -> None:
    """Runs the reader, and gives a FacetError's sentence, as JSON, to the process that waits."""
    module, _, name = reader.partition(":")
    function = getattr(importlib.import_module(module), name)
    # after the imports: the stacks of BLAS threads are address space, too
    _limit_memory(spare)
    try:
        function(path)
    except FacetError as error:
        sentence = str(error)
    except MemoryError:
        sentence = f"{path}: asks for more than {spare >> 20} MB of memory, expected an undamaged file"
    except Exception as error:  # noqa: BLE001
        # h5py raises whatever it stumbles over
        sentence = f"{path}: cannot be read ({error!r:.300}), expected an undamaged file"
    else:
        return
    # on a line of its own: libraries write there, too
    sys.stdout.write(f"\n{json.dumps(sentence)}")
    sys.exit(_REFUSED)


if __name__ == "__main__":
    _child(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
