"""The table backbone × runtime of docs/export.md, made of the figures of `facet benchmark export`."""

from typing import Any

from benchmarks import bars
from models.export.runtimes import RUNTIMES

Entry = dict[str, Any]

_RUNTIMES = tuple(runtime.name for runtime in RUNTIMES)


def matrix(entries: list[Entry]) -> str:
    """Gives the Markdown: in each cell the largest difference and the time of one image, or why there is none."""
    names = [*_RUNTIMES, *(name for name in (bars.OPENCV_5,) if any(name in entry["name"] for entry in entries))]
    titles = ("backbone", *names, "Keras under tf.function")
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    lines += [_row(name, names, entries) for name in bars.EXPORTED if any(name in e["name"] for e in entries)]
    return "\n".join([*lines, "", *_refusals(entries)])


def _row(backbone: str, runtimes: list[str], entries: list[Entry]) -> str:
    times = [entry for entry in entries if entry["name"] == bars.export_speed(backbone)]
    found = {entry["name"]: entry for entry in entries}
    cells = [_cell(found.get(bars.export_difference(backbone, name)), name, times) for name in runtimes]
    return f"| {backbone} | {' | '.join(cells)} | {_milliseconds(times, 'the Keras model')} |"


def _cell(entry: Entry | None, runtime: str, times: list[Entry]) -> str:
    if entry is None or entry["value"] is None:
        return "–" if entry is None else str(entry["peer"]).strip("()").partition(":")[0]
    # the name of a runtime that was timed goes on with its version
    return f"{entry['value']:.0e}, {_milliseconds(times, runtime)}"


def _milliseconds(times: list[Entry], beginning: str) -> str:
    # `TensorFlow 2.21.0` is no `TensorFlow 1.15`: the first line comes first
    rates = [entry["peer_value"] for entry in times if entry["peer"].startswith(beginning)]
    return f"{1000 / rates[0]:.1f} ms" if rates else ""


def _refusals(entries: list[Entry]) -> list[str]:
    told = [entry for entry in entries if entry["value"] is None and "refused" in str(entry["peer"])]
    return [f"- {entry['name'].removeprefix('export: ').partition(',')[0]}: {entry['peer']}" for entry in told]
