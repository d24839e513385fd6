"""The parts of `facet benchmark train --only schedule:`, each a group of contenders on one workload."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.results import Result, absolute, compared
from benchmarks.rounds import Settings
from benchmarks.schedules import names
from benchmarks.schedules.facet_runs import Place, with_curve
from benchmarks.schedules.plan import Plan, Workload
from benchmarks.schedules.preparing import Ready, ready
from benchmarks.schedules.statistics import lower_bound, shares
from benchmarks.schedules.trials import Trial, phase_speed, settled_speed, warm_up_seconds, whole_speed, write_trial
from benchmarks.schedules.turns import Figure, Rounds, made_folder, take_turns, trial_file
from hdf5_helper.atomic import write_text

_FACES = "mobilenet_1.0_224_faces_notop.weights.h5"


@dataclass(frozen=True)
class Schedules:
    """What to measure, and on what.

    Attributes:
        settings: how.
        tree: folder of real faces in the layout agegender, None where there is none.
        weights: the face weights of MobileNet, None where there are none.
        plan: the workloads.
    """

    settings: Settings
    tree: Path | None
    weights: Path | None
    plan: Plan = field(default_factory=Plan)

    def ready(self, workload: Workload) -> Ready | str:
        """Gives a workload's files, or why it has none."""
        if self.tree is None:
            return "not measured: no real faces, expected agegender_cleaned in $FACET_DATA"
        if workload.pretrained and self.weights is None:
            return f"not measured: no face weights, expected {_FACES} in $FACET_WEIGHTS"
        return ready(workload, self.tree, self.weights, made_folder(self.settings.work / "schedules"))


def schedules(settings: Settings) -> Schedules:
    """Gives what is measured by default: real faces and weights in $FACET_DATA and $FACET_WEIGHTS, else ../shared."""
    shared = Path(__file__).resolve().parents[3] / "shared"
    tree = Path(os.environ.get("FACET_DATA", shared / "data")) / "agegender_cleaned"
    weights = Path(os.environ.get("FACET_WEIGHTS", shared / "weights")) / _FACES
    return Schedules(settings, tree if tree.is_dir() else None, weights if weights.is_file() else None)


def measure_schedules(asked: Schedules) -> Iterator[list[Result]]:
    """Gives the results part by part, those that `only` asks for; `schedules.json` in the work folder joins them.

    Raises:
        FacetError: Facet failed.
    """
    for part, measures in PARTS.items():
        if not asked.settings.wants(*measures):
            continue
        for results in part(asked):
            wanted = [result for result in results if asked.settings.wants(result.name)]
            _join(asked.settings.work / "schedules.json", wanted)
            yield wanted


def _join(file: Path, results: Sequence[Result]) -> None:
    """Puts results beside those of earlier calls, in the order of the measures; those of the same name are replaced."""
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    anew = {result.name for result in results}
    entries = [*(entry for entry in known if entry["name"] not in anew), *(result.to_json() for result in results)]
    entries.sort(key=lambda entry: names.MEASURES.index(entry["name"]))
    write_text(file, json.dumps(entries, indent=1, ensure_ascii=False) + "\n")


def _absent(measures: Sequence[str], reason: str) -> list[Result]:
    return [absolute(name, "", (), reason) for name in measures]


def _compared(measure: str, unit: str, rounds: Rounds, figure: Figure) -> list[Result]:
    contenders = dict(names.GROUPS)[measure]
    limits = [who.name for who in contenders if who == names.LIMIT]
    return compared(measure, unit, rounds.measured(figure, contenders), limits)


def _warm_up(asked: Schedules) -> Iterator[list[Result]]:
    workload = asked.plan.warm_up
    there, measures = asked.ready(workload), PARTS[_warm_up]
    if isinstance(there, str):
        yield _absent(measures, there)
        return
    rounds = take_turns(names.contenders_of(filter(asked.settings.wants, measures)), there, asked.settings)
    epochs = workload.epochs[0]

    def seconds(trial: Trial) -> float:
        return trial.figure if trial.figure is not None else warm_up_seconds(trial, epochs)

    def speed(trial: Trial) -> float:
        return epochs * trial.epochs[0].images / seconds(trial)

    if asked.settings.wants(names.WARM_UP):
        yield [_said(result, workload) for result in _compared(names.WARM_UP, "images/s", rounds, speed)]
    if asked.settings.wants(names.FORWARD):
        yield _compared(names.FORWARD, "s", rounds, seconds)


def _said(result: Result, workload: Workload) -> Result:
    """Says in the table that a peer's equal epochs are a median times their number."""
    timed = workload.of_peers().epochs[0]
    if result.peer is None or result.peer_value is None or timed == workload.epochs[0]:
        return result
    return replace(result, peer=f"{result.peer}; {workload.epochs[0]} × the median of {timed} epochs")


def _fine_tuning(asked: Schedules) -> Iterator[list[Result]]:
    there, measures = asked.ready(asked.plan.fine_tuning), PARTS[_fine_tuning]
    if isinstance(there, str):
        yield _absent(measures, there)
        return
    wanted = [name for name in measures if asked.settings.wants(name)]
    rounds = take_turns(names.contenders_of(wanted), there, asked.settings, keep_cache=True)
    for name in wanted:
        yield _compared(name, "images/s", rounds, settled_speed)


def _whole(asked: Schedules) -> Iterator[list[Result]]:
    there, measures = asked.ready(asked.plan.whole), PARTS[_whole]
    if isinstance(there, str):
        yield _absent(measures, there)
        return
    wanted = [name for name in measures if asked.settings.wants(name)]
    beside = [names.WHOLE] if names.WHOLE_BOUND in wanted else []
    causes = [names.CAUSES] if set(names.SHARES) & set(wanted) else []
    rounds = take_turns(names.contenders_of([*wanted, *beside, *causes]), there, asked.settings)
    for name in wanted:
        if name in _WHOLE_FIGURES:
            unit, figure = _WHOLE_FIGURES[name]
            yield _compared(name, unit, rounds, figure)
    if names.WHOLE_BOUND in wanted:
        yield [_bound(rounds)]
    if names.WHOLE_ACCURACY in wanted:
        _draw_curve(asked, there, rounds)
    if causes:
        yield _shares(rounds)


_WHOLE_FIGURES: dict[str, tuple[str, Figure]] = {
    names.WHOLE: ("images/s", whole_speed),
    names.WHOLE_SECONDS: ("s", lambda trial: trial.seconds),
    names.WHOLE_CPU: ("s", lambda trial: trial.cpu),
    names.WHOLE_MEMORY: ("MB", lambda trial: trial.memory),
    names.WHOLE_WARM_UP: ("images/s", lambda trial: phase_speed(trial, "warm_up")),
    names.WHOLE_FINE_TUNING: ("images/s", lambda trial: phase_speed(trial, "fine_tuning")),
    names.WHOLE_ACCURACY: ("%", lambda trial: None if trial.accuracy is None else 100 * trial.accuracy),
    names.CAUSES: ("images/s", whole_speed),
}


def _bound(rounds: Rounds) -> Result:
    """Gives how much less accurate than plain Keras Facet is at worst, in points."""
    figure = _WHOLE_FIGURES[names.WHOLE_ACCURACY][1]
    ours, theirs = rounds.measured(figure, (names.FACET, names.KERAS))
    if min(len(ours.figures), len(theirs.figures)) < 2:
        reason = ours.absent or theirs.absent or "not measured: needs two rounds at least"
        return absolute(names.WHOLE_BOUND, "points", (), reason)
    bound = lower_bound(ours.figures, theirs.figures)
    return replace(absolute(names.WHOLE_BOUND, "points", (bound,)), repeats=len(ours.figures))


def _draw_curve(asked: Schedules, there: Ready, rounds: Rounds) -> None:
    """Adds to Facet's first trial what `benchmarks.schedules.picture` draws: the test accuracy of each epoch."""
    first = rounds.trials[names.FACET.name][0]
    if first.accuracy is None or first.epochs[-1].accuracy is not None:
        return
    place = Place(made_folder(asked.settings.work / "schedules" / "runs"))
    file = trial_file(asked.settings.work, there.workload.name, names.FACET, 0)
    write_trial(file, with_curve(first, there, 0, place))


def _shares(rounds: Rounds) -> list[Result]:
    """Gives what each cause is of the speed-up over plain Keras, the median over the rounds."""
    found: dict[str, list[float]] = {name: [] for name in names.SHARES}
    everybody = dict(names.GROUPS)[names.CAUSES]
    measured = {who.name: one for who, one in zip(everybody, rounds.measured(whole_speed, everybody), strict=True)}
    if absent := next((one for one in measured.values() if one.absent), None):
        return _absent(names.SHARES, f"{absent.name}: {absent.absent}")
    for one in zip(*(measured[who.name].figures for who in everybody), strict=True):
        facet, live, exact, free, fed, plain = one
        if facet <= plain:
            return _absent(names.SHARES, "not measured: Facet was no faster than plain Keras")
        factors = {
            "cache": facet / live,
            "precision": facet / exact,
            "loader": fed / plain,
            "determinism": facet / free,
        }
        for cause, share in shares(factors, facet / plain).items():
            found[names.SHARE + cause].append(share)
    return [absolute(name, "%", figures) for name, figures in found.items()]


def _precision(asked: Schedules) -> Iterator[list[Result]]:
    for title, (over_float32, over_best) in names.PRECISION.items():
        wanted = [name for name in (over_float32, over_best) if asked.settings.wants(name)]
        there = asked.ready(asked.plan.precision[title]) if wanted else ""
        if isinstance(there, str):
            yield _absent(wanted, there)
            continue
        rounds = take_turns(names.contenders_of(wanted), there, asked.settings)
        for name in wanted:
            yield _compared(name, "images/s", rounds, settled_speed)


def _second_run(asked: Schedules) -> Iterator[list[Result]]:
    there = asked.ready(asked.plan.second)
    if isinstance(there, str):
        yield _absent([names.SECOND], there)
        return
    rounds = take_turns((names.SECOND_RUN,), there, asked.settings, keep_cache=True)
    (measured,) = rounds.measured(lambda trial: trial.figure, (names.SECOND_RUN,))
    yield [absolute(names.SECOND, "s", measured.figures, measured.absent)]


#: Each part with its measures, in the order in which they are made.
PARTS: dict[Callable[[Schedules], Iterator[list[Result]]], tuple[str, ...]] = {
    _warm_up: (names.WARM_UP, names.FORWARD),
    _fine_tuning: (names.FLOAT32, names.BFLOAT16, names.AUTO),
    _precision: tuple(name for pair in names.PRECISION.values() for name in pair),
    _second_run: (names.SECOND,),
    _whole: (*_WHOLE_FIGURES, names.WHOLE_BOUND, *names.SHARES),
}
