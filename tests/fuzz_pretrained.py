"""Searches with atheris for bytes that a reader of foreign weights neither reads nor refuses.

    python tests/fuzz_pretrained.py FORMAT [options of libFuzzer, or folders of starting files]

FORMAT is a key of `models.pretrained.reading`, such as `torch7`. It starts from small files that the tests' writers
make, keeps what it finds worth changing further in build/fuzz/FORMAT, and ends at the first finding, whose bytes it
leaves in `crash-…`, or after `-max_total_time=SECONDS`.
Needs `pip install atheris`, which is in no requirements file.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
#: The limits of `fuzzing.py`, as libFuzzer calls them.
LIMITS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=65536")
#: Options of the tests' writers, for the forms of a format that differ in their bytes.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "torch7": [{"encoding": encoding} for encoding in ("binary64", "binary32", "ascii")],
    "pytorch": [{}, {"legacy": True}],
    "caffe": [{}, {"version": 1, "legacy": True}, {"packed": False, "double": True}],
    "matconvnet": [
        {"compressed": compressed, **form}
        for compressed in (False, True)
        for form in ({}, {"dag": True}, {"loose": True, "old": True})
    ],
}
#: Writers that take their options as one object of such a class.
FORMS = {"caffe": "CaffeForm", "matconvnet": "MatConvNetForm"}


def write_starting_files(key: str, folder: Path) -> None:
    """Writes a small network in the forms of a format, where the tests have a writer for it."""
    if importlib.util.find_spec(f"weight_files_{key}") is None:
        return
    writer = importlib.import_module(f"weight_files_{key}")
    write = getattr(writer, f"write_{key}")
    kernel, matrix, row = (np.ones(shape, np.float32) for shape in ((2, 3, 3, 3), (2, 4), (2,)))
    layers = [("conv", {"weight": kernel, "bias": row}), ("dense", {"weight": matrix, "bias": row})]
    for number, options in enumerate(VARIANTS.get(key, [{}])):
        given = {"form": getattr(writer, FORMS[key])(**options)} if key in FORMS else options
        write(folder / f"start{number}", layers, **given)


def main() -> None:
    """Runs until a finding or the given time."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    try:
        import atheris
    except ImportError:
        sys.exit("fuzz_pretrained: atheris is not installed, expected `pip install atheris` in this environment")
    from fuzzing import read_or_refuse

    from models.pretrained.reading import FORMATS

    keys = {known.key: known for known in FORMATS}
    if sys.argv[1:2] == [] or sys.argv[1] not in keys:
        sys.exit(f"fuzz_pretrained: expected a format, one of {', '.join(keys)}")
    with atheris.instrument_imports(include=["models.pretrained"]):
        read = keys[sys.argv[1]].reader()
    corpus = ROOT / "build" / "fuzz" / sys.argv[1]
    corpus.mkdir(parents=True, exist_ok=True)
    path = corpus.parent / f"{sys.argv[1]}-{os.getpid()}"
    write_starting_files(sys.argv[1], corpus)

    def try_one(data: bytes) -> None:
        path.write_bytes(data)
        read_or_refuse(read, path)

    atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[2:], str(corpus)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
