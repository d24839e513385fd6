"""`facet benchmark`: Facet beside what a user would pick instead."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.console import Console

if TYPE_CHECKING:
    from benchmarks.results import Result

_KINDS = ("read", "pack", "train", "resume", "export")


@click.command()
@click.argument("kind", metavar="read|pack|train|resume|export")
@click.option("--check", is_flag=True, help="Exit with 1 when a bar is missed.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE.json", help="Write the results there.")
@click.option(
    "--work", type=click.Path(path_type=Path), metavar="DIR", help="Keep what is prepared.  [a temporary one]"
)
@click.option("--peers", type=click.Path(path_type=Path), metavar="DIR", help="Virtual environments of other loaders.")
@click.option("--count", type=int, default=10_000, show_default=True, help="Number of images.")
@click.option("--repeats", type=int, default=5, show_default=True, help="Rounds; medians are told.")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="Least length of a repeat.")
@click.option("--only", default="", metavar="TEXT", help="Make the measures whose names hold this.")
@click.option("--kills", type=int, default=25, show_default=True, help="resume: how many each contender takes.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE.h5", help="export: a packed file of faces.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
def command(*, kind: str, check: bool, out: Path | None, work: Path | None, as_json: bool, **values: Any) -> None:
    """Measure Facet beside what a user would pick instead, on the same images in the same run.

    All contenders take turns, round after round; an absent one is named and left out. Whole runs take some 20 minutes
    and 10 GB of disk. benchmarks/install_peers.sh makes the environments that --peers wants. train measures what
    determinism, reading, checkpoints and a stop cost; --seconds 20 evens out a machine's moods; --only schedule: trains
    whole schedules beside Keras and PyTorch, in hours. resume kills trainings and compares how they end; of the options
    it takes --kills, --work, --out, --check and --json. export runs every backbone in every runtime, on the faces of
    --data or drawn ones.

    \b
    Example:
      facet benchmark read --peers peers --out read.json
      facet benchmark pack --check --count 2000
      facet benchmark resume --kills 25
    """
    from hdf5_helper.errors import FacetError, did_you_mean

    if kind not in _KINDS:
        raise FacetError(f"benchmark {kind!r}: {did_you_mean(kind, _KINDS)}")
    if not sys.platform.startswith("linux"):
        raise FacetError("benchmark: needs Linux's page cache and process groups, found another system")
    if out is not None and not out.parent.is_dir():
        raise FacetError(f"--out {out}: no such folder as {out.parent}, expected an existing one")
    with Console(as_json=as_json) as console, _work_folder(work) as folder:
        results = _measured(console, _groups(console, kind, folder, values), out)
        if as_json:
            console.result([result.to_json() for result in results])
        missed = _verdict(console, results)
    if check and missed:
        sys.exit(1)


@contextmanager
def _work_folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="facet-benchmark-") as folder:
        yield Path(folder)


def _groups(console: Console, kind: str, folder: Path, values: dict[str, Any]) -> "Iterator[list[Result]]":
    """Says what is measured, and begins."""
    from benchmarks.export import measure_exporting
    from benchmarks.pack import measure_packing
    from benchmarks.read import measure_reading
    from benchmarks.resume import Resuming, measure_resuming
    from benchmarks.rounds import Settings
    from benchmarks.train import measure_training

    kills, data = values.pop("kills"), values.pop("data")
    if kind == "resume":
        console.say(f"{kills} kills of each contender; everything lies in {folder}")
        return measure_resuming(Resuming(folder, kills, say=console.say, progress=console))
    settings = Settings(folder, progress=console, **values)
    if kind == "export":
        from scripts.native_logs import quiet_native_logs

        quiet_native_logs(verbose=False)
        console.say(f"{settings.repeats} rounds; everything lies in {folder}")
        return measure_exporting(settings, data)
    images = f"{settings.count:,} images, {settings.repeats} rounds of at least {settings.seconds:g} s"
    console.say(f"{images}; everything lies in {folder}")
    return {"read": measure_reading, "pack": measure_packing, "train": measure_training}[kind](settings)


def _measured(console: Console, groups: "Iterator[list[Result]]", out: Path | None) -> "list[Result]":
    """Gives all results; what is there lies in `out` after each group, so that nothing is lost by what fails later."""
    from benchmarks.results import line, write_json

    results: list[Result] = []
    for group in groups:
        for result in group:
            if not results or results[-1].name != result.name:
                console.say(result.name)
            console.say(f"  {line(result)}")
            results.append(result)
        if out is not None:
            write_json(out, results)
    return results


def _verdict(console: Console, results: "list[Result]") -> int:
    """Says which bars hold; gives how many are missed."""
    asked = [result for result in results if result.bar is not None]
    missed = [result for result in asked if result.passed is False]
    unknown = [result for result in asked if result.passed is None]
    held = len(asked) - len(missed) - len(unknown)
    console.say(f"{held} of {len(asked)} bars hold, {len(missed)} missed, {len(unknown)} not measured")
    for result in missed:
        console.say(f"missed: {result.name}{f', against {result.peer}' if result.peer else ''}: {result.figure()}")
    for result in unknown:
        console.say(f"not measured: {result.name}: {result.peer}")
    console.say("next: docs/benchmarks.md says how to read the figures")
    return len(missed)
