"""Puts the figures of `benchmarks/figures/*.json` into the pages: their tables are made, not typed.

    python -m benchmarks.page

Between `<!-- figures: NAME -->` and `<!-- end -->` stands what NAME.json says, and nothing else. A table of backbones
and runtimes begins with `<!-- matrix: NAME -->`, one of trainings on real faces with `<!-- accuracy: NAME -->`.
"""

import json
import re
from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.accuracy.table import tables as accuracy
from benchmarks.export_matrix import matrix
from hdf5_helper.atomic import write_text

_DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (_DOCS / "benchmarks.md", _DOCS / "export.md", _DOCS / "training.md")
RESULTS = Path(__file__).resolve().parent / "figures"

_SECTION = re.compile(r"(<!-- (figures|matrix|accuracy): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Entry = dict[str, Any]


def rendered(page: str, results: Path) -> str:
    """Gives the page with its tables made anew.

    Args:
        page: its text, with the marks.
        results: folder of the JSON files; a section without a file says so.
    """

    def section(mark: re.Match[str]) -> str:
        file, made = results / f"{mark[3]}.json", {"figures": tables, "matrix": matrix, "accuracy": accuracy}[mark[2]]
        text = made(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else "Not measured yet.\n"
        return f"{mark[1]}{text}{mark[4]}"

    return _SECTION.sub(section, page)


def tables(entries: list[Entry]) -> str:
    """Gives the Markdown of one list of results: the machine, a table a measure, the missed bars."""
    if not entries:
        return "Not measured yet.\n"
    against, alone = _divided(entries)
    parts = [_machine(entries)]
    parts += [_compared(name, list(group)) for name, group in groupby(against, lambda entry: entry["name"])]
    if alone:
        parts.append(_alone(alone))
    missed = [entry for entry in entries if entry["passed"] is False]
    if missed:
        parts.append(_missed(missed))
    return "\n".join(parts)


def _divided(entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Gives what has peers, and what stands alone."""
    alone = [entry for entry in entries if entry["peer"] is None or entry["value"] is None]
    return [entry for entry in entries if entry not in alone], alone


def _machine(entries: list[Entry]) -> str:
    machine = entries[0]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory"
    told = [entry["machine"]["cores_busy_elsewhere"] for entry in entries]
    busy = [cores for cores in told if cores is not None]
    beside = f" Meanwhile {mean(busy):.2f} cores were busy with something else." if busy else ""
    rounds = "kills" if any(entry["unit"] == "kills" for entry in entries) else "rounds"
    return f"Measured on: {where}; {versions}. {max(entry['repeats'] for entry in entries)} {rounds}.{beside}\n"


def _compared(name: str, entries: list[Entry]) -> str:
    first = entries[0]
    limit = "" if first["limit"] is None else f"; the machine's limit: {_number(first['limit'])}"
    spread = _range(first, "value")
    lines = [
        f"**{name}**: Facet {_number(first['value'])} {first['unit']}{f' ({spread})' if spread else ''}{limit}",
        "",
        f"| beside | {first['unit']} | lowest–highest | Facet over it | bar | holds |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(entry) for entry in entries), ""])


def _line(entry: Entry) -> str:
    ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}"
    value = "–" if entry["peer_value"] is None else _number(entry["peer_value"])
    return f"| {entry['peer']} | {value} | {_range(entry, 'peer_value')} | {ratio} | {_bar(entry)} |"


def _alone(entries: list[Entry]) -> str:
    lines = ["| measure | Facet | lowest–highest | bar | holds |", "|---|---|---|---|---|"]
    for entry in entries:
        value = entry["peer"] if entry["value"] is None else f"{_number(entry['value'])} {entry['unit']}"
        lines.append(f"| {entry['name']} | {value} | {_range(entry, 'value')} | {_bar(entry)} |")
    return "\n".join([*lines, ""])


def _missed(entries: list[Entry]) -> str:
    lines = ["Missed bars, and what the machine itself could reach:", ""]
    for entry in entries:
        if entry["ratio"] is None:
            lines.append(f"- {entry['name']}: {_number(entry['value'])} {entry['unit']}, asked {entry['bar']}")
            continue
        line = f"- {entry['name']}, against {entry['peer']}: {entry['ratio']:.2f}, asked {entry['bar']}"
        if entry["limit"] is not None:
            line += f"; the machine's limit is {entry['limit'] / entry['peer_value']:.2f} times this peer"
        lines.append(line)
    return "\n".join([*lines, ""])


def _bar(entry: Entry) -> str:
    holds = {True: "yes", False: "**no**", None: ""}[entry["passed"]]
    return f"{entry['bar'] or ''} | {holds}"


def _range(entry: Entry, which: str) -> str:
    found = entry["spread"].get(which)
    return "" if found is None else f"{_number(found[0])}–{_number(found[1])}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def main() -> None:
    """Rewrites the pages."""
    for page in PAGES:
        write_text(page, rendered(page.read_text(encoding="utf-8"), RESULTS))


if __name__ == "__main__":
    main()
