"""The one way of measuring: all contenders of a group made ready, then round after round A B C …, one at a time."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.processes import AbsentError, Answer, Process
from benchmarks.results import Measured
from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.progress import Progress, Silent

Figure = Callable[[Answer], float]


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        work: folder of the prepared files.
        peers: folder of virtual environments, or None.
        count: images of the workload.
        repeats: rounds, at least 1.
        seconds: least length of a repeat; whole epochs are gone through.
        only: a part of the names of the measures to make; empty for all.
        progress: watches the rounds.
    """

    work: Path
    peers: Path | None = None
    count: int = 10_000
    repeats: int = 5
    seconds: float = 2.0
    only: str = ""
    progress: Progress = field(default_factory=Silent)

    def __post_init__(self) -> None:
        """Refuses what gives no figure."""
        if self.peers is not None and not self.peers.is_dir():
            raise FacetError(f"--peers {self.peers}: no such folder, expected one of virtual environments")
        if self.repeats < 1:
            raise FacetError(f"--repeats {self.repeats}: expected at least 1")
        if self.count < 64:
            raise FacetError(f"--count {self.count}: expected at least 64, one batch")

    def wants(self, *measures: str) -> bool:
        """Tells whether one of these measures is to be made."""
        return any(self.only in name for name in measures)

    def check_only(self, measures: Sequence[str]) -> None:
        """Refuses an `only` that none of these measures holds: nothing would be measured, and no bar missed."""
        if not self.wants(*measures):
            raise FacetError(f"--only {self.only!r}: is in the name of no measure, {did_you_mean(self.only, measures)}")


def rate(answer: Answer) -> float:
    """Gives what was done in a second."""
    return float(answer["amount"]) / float(answer["seconds"])


def measure(
    task: tuple[str, str], contenders: Sequence[Contender], settings: Settings, figure: Figure = rate
) -> list[Measured]:
    """Measures contenders against each other.

    Args:
        task: what they do, and into what, such as `("raw", "numpy")`.
        contenders: Facet's own first. The others may be absent.
        settings: how.
        figure: from one repeat's answer to its figure.

    Raises:
        FacetError: Facet failed, or a contender's images are not those of the others.

    Whoever dies on the way has no figures, and the reason instead; the others go on.
    """
    settings.progress.start(f"{' '.join(task)}: {contenders[0].name}", settings.repeats)
    with ExitStack() as stack:
        present, absent = _started(task, contenders, settings, stack)
        _check_same_images(list(present.values()))
        answers: dict[str, list[Answer]] = {contender.name: [] for contender in contenders}
        for _round in range(settings.repeats):
            _go_round(present, answers, absent)
            settings.progress.advance(1)
    settings.progress.stop()
    return [_measured(name, answers[name], figure, absent.get(name, "")) for name in answers]


def _go_round(present: dict[str, Process], answers: dict[str, list[Answer]], absent: dict[str, str]) -> None:
    """Lets everybody do one repeat; whoever dies is moved from `present` to `absent`, and loses its answers."""
    for name, process in list(present.items()):
        try:
            answers[name].append(process.go())
        except AbsentError as reason:
            absent[name] = str(reason)
            answers[name].clear()
            del present[name]


def _measured(name: str, answers: Sequence[Answer], figure: Figure, absent: str) -> Measured:
    others = tuple(float(answer["elsewhere"]) for answer in answers)
    return Measured(name, tuple(figure(answer) for answer in answers), absent, others)


def _started(
    task: tuple[str, str], contenders: Sequence[Contender], settings: Settings, stack: ExitStack
) -> tuple[dict[str, Process], dict[str, str]]:
    """Gives those that are ready, by name, and why the others are not."""
    present, absent = {}, {}
    for contender in contenders:
        try:
            process = Process(contender, task, settings.work, peers=settings.peers, seconds=settings.seconds)
        except AbsentError as reason:
            absent[contender.name] = str(reason)
            continue
        present[contender.name] = stack.enter_context(process)
    return present, absent


def _check_same_images(processes: Sequence[Process]) -> None:
    """Refuses contenders that hand out other images: other sides, or another mean of all their values."""
    first = next((process for process in processes if "mean" in process.warm_up), None)
    for process in processes:
        shown = process.warm_up
        if first is None or "mean" not in shown:
            continue
        expected = first.warm_up
        if shown["shape"] != expected["shape"] or abs(shown["mean"] - expected["mean"]) > 1:
            raise FacetError(
                f"{process.contender.name}: gives images of {shown['shape']} with a mean of {shown['mean']:.1f},"
                f" expected {expected['shape']} and {expected['mean']:.1f}, as {first.contender.name} does"
            )
