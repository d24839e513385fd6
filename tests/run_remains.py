"""What a run leaves, told so that two runs can be compared and what differs has a name."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import xxhash

from models.training.history import read_epochs

#: What no two trainings share.
_TIMES = ("seconds", "images_per_second")


def remains(run: Path) -> dict[str, Any]:
    """Gives all that a run left but for times: two runs that did the same have the same remains.

    Variables are told by their path in the file that Keras wrote, read by h5py: a difference names them.
    """
    checkpoints = run / "checkpoints"
    files = {which: checkpoints / f"{which}.json" for which in ("latest", "best")}
    pointers = {which: json.loads(file.read_text()) for which, file in files.items() if file.exists()}
    return {
        "files": sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if _counts(path)),
        "rows": [_timeless(row) for row in read_epochs(run / "epochs.csv")],
        **pointers,
        **{f"{which} checkpoint": contents(checkpoints / pointers[which]["checkpoint"]) for which in pointers},
    }


def _counts(path: Path) -> bool:
    return path.is_file() and path.suffix != ".damaged"  # what was passed over is kept for its owner


def contents(path: Path) -> dict[str, Any]:
    """Gives the state of a checkpoint but for times, and the digest of each variable of weights and optimizer."""
    with zipfile.ZipFile(path) as archive:
        state = json.loads(archive.read("facet/state.json"))
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            variables: dict[str, str] = {}
            file.visititems(lambda name, item: variables.update(_digest(name, item)))
    state["rows"] = [_timeless(row) for row in state["rows"]]
    return {"state": _timeless(state), "variables": variables}


def _digest(name: str, item: Any) -> dict[str, str]:
    return {name: xxhash.xxh3_64(item[()].tobytes()).hexdigest()} if isinstance(item, h5py.Dataset) else {}


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in _TIMES}


def differing(found: dict[str, Any], expected: dict[str, Any], below: str = "") -> list[str]:
    """Lists where two remains differ, deepest names first to be read: `last checkpoint/state/sums: 1, not 2`."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        mine, theirs = found.get(name), expected.get(name)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            lines += differing(mine, theirs, f"{below}{name}/")
        elif mine != theirs:
            lines.append(f"{below}{name}: {mine}, not {theirs}")
    return lines
