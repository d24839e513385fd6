"""From repeats to results: medians, spreads, ratios, and whether the bars hold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.bars import Bar, bars_of
from hdf5_helper.atomic import write_text
from hdf5_helper.machine import cpu, memory, versions

Range = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """What one contender showed.

    Attributes:
        name: of the contender.
        figures: one a repeat, in the order of the rounds; empty if it is absent.
        absent: why there are none: `absent: …`, `failed: …` or `not measured: …`.
        elsewhere: cores that others used meanwhile, one number a repeat.
    """

    name: str
    figures: tuple[float, ...] = ()
    absent: str = ""
    elsewhere: tuple[float, ...] = ()


@dataclass(frozen=True)
class Result:
    """One line of a table; the same fields in JSON.

    Attributes:
        name: what was measured.
        value: Facet's median.
        unit: of value, peer_value and limit.
        peer: who else did it, or None; `NAME (absent: WHY)`, `NAME (failed: WHY)` or, where Facet itself has no
            figures, `(not measured: WHY)`.
        peer_value: the peer's median.
        ratio: median over the rounds of value over peer_value.
        limit: what the machine itself reached in the same rounds, or None.
        bar: such as `≥ 1.2`; for the ratio if there is a peer, else for the value. None: shown, and nothing asked.
        passed: whether the bar holds; None without a bar or without figures.
        repeats: number of rounds.
        spread: lowest and highest of `value`, `peer_value` and `ratio` over the rounds.
        machine: processor, cores, memory, versions, and how many cores were busy with something else.
    """

    name: str
    value: float | None
    unit: str
    peer: str | None
    peer_value: float | None
    ratio: float | None
    limit: float | None
    bar: str | None
    passed: bool | None
    repeats: int
    spread: dict[str, Range]
    machine: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Gives the fields as values for JSON."""
        return asdict(self)

    def figure(self) -> str:
        """Gives what the bar is held against, and the bar: `1.05 ×, asked ≥ 1.2`."""
        compared = f"{self.value:.4g} {self.unit}" if self.ratio is None else f"{self.ratio:.3g} ×"
        return compared if self.bar is None else f"{compared}, asked {self.bar}"


def machine(elsewhere: Sequence[float] = ()) -> dict[str, Any]:
    """Gives what a reader must know to judge the figures.

    Args:
        elsewhere: cores that others used in each repeat; told as their mean, with two digits.
    """
    processor = cpu()
    total = memory()["total"]
    return {
        "cpu": processor["model"],
        "cores": processor["usable_cores"],
        "memory_gb": None if total is None else round(total / 1e9, 1),
        "cores_busy_elsewhere": round(mean(elsewhere), 2) if elsewhere else None,
        "versions": {name: version for name, version in versions().items() if version is not None},
    }


def line(result: Result) -> str:
    """Gives one line for a terminal: Facet, the peer, the ratio, the bar and whether it holds."""
    if result.value is None:
        return f"{result.peer}"
    mark = {True: "  holds", False: "  MISSED", None: ""}[result.passed]
    if result.peer is None:
        return f"{'Facet':<48} {result.figure()}{mark}"
    if result.peer_value is None:
        return f"{result.peer}"
    facet, peer = f"{result.value:,.0f}", f"{result.peer_value:,.0f} {result.unit}"
    return f"{result.peer:<48} {peer:>20}, Facet {facet:>8}: {result.figure()}{mark}"


def write_json(path: Path, results: Sequence[Result]) -> None:
    """Writes the results as a JSON list, whole or not at all."""
    write_text(path, json.dumps([result.to_json() for result in results], indent=1, ensure_ascii=False) + "\n")


def compared(
    measure: str, unit: str, measured: Sequence[Measured], limits: Sequence[str] = (), *, all_bind: bool = False
) -> list[Result]:
    """Gives one result a peer: the first of `measured` is Facet, the others are its peers, round by round.

    Args:
        measure: its name, by which the bars are found.
        unit: of the figures.
        measured: Facet first.
        limits: names of the peers that are the machine's own limit; the highest that was reached is told.
        all_bind: the limits add up, as decoding and writing do: the lowest is told.

    Where Facet itself could not be measured there is one result, which says why.
    """
    facet, *peers = measured
    if not facet.figures:
        return [absolute(measure, unit, (), facet.absent)]
    by_name = {peer.name: peer for peer in peers}
    reached = [median(by_name[name].figures) for name in limits if by_name[name].figures]
    asked = {_counting(bar, by_name): bar for bar in bars_of(measure) if any(who.name in by_name for who in bar.peers)}
    limit = (min if all_bind else max)(reached, default=None)
    return [_against(measure, unit, facet, peer, (limit, asked.get(peer.name))) for peer in peers]


def _counting(bar: Bar, peers: Mapping[str, Measured]) -> str:
    """Gives the name of the peer that a bar is held against: the fastest of those named, or the slowest."""
    named = [peers[peer.name] for peer in bar.peers if peer.name in peers]
    present = {peer.name: median(peer.figures) for peer in named if peer.figures}
    choose = min if bar.slowest else max
    return choose(present, key=lambda name: present[name]) if present else named[0].name


def _against(
    measure: str, unit: str, facet: Measured, peer: Measured, limit_and_bar: tuple[float | None, Bar | None]
) -> Result:
    limit, bar = limit_and_bar
    ratios = tuple(ours / theirs for ours, theirs in zip(facet.figures, peer.figures, strict=False))
    ratio = median(ratios) if ratios else None
    return Result(
        name=measure,
        value=median(facet.figures),
        unit=unit,
        peer=f"{peer.name} ({peer.absent})" if peer.absent else peer.name,
        peer_value=median(peer.figures) if peer.figures else None,
        ratio=ratio,
        limit=limit,
        bar=None if bar is None else str(bar),
        passed=None if bar is None or ratio is None else bar.holds(ratio),
        repeats=len(facet.figures),
        spread={**_range("value", facet.figures), **_range("peer_value", peer.figures), **_range("ratio", ratios)},
        machine=machine((*facet.elsewhere, *peer.elsewhere)),
    )


def absolute(measure: str, unit: str, figures: Sequence[float], absent: str = "") -> Result:
    """Gives the result of a measure without a peer; no figures and a reason where it could not be measured."""
    bar = next(iter(bars_of(measure)), None)
    value = median(figures) if figures else None
    return Result(
        name=measure,
        value=value,
        unit=unit,
        peer=f"({absent})" if absent else None,
        peer_value=None,
        ratio=None,
        limit=None,
        bar=None if bar is None else str(bar),
        passed=None if bar is None or value is None else bar.holds(value),
        repeats=len(figures),
        spread=_range("value", tuple(figures)),
        machine=machine(),
    )


def _range(name: str, figures: tuple[float, ...]) -> dict[str, Range]:
    return {name: (min(figures), max(figures))} if figures else {}
