"""All contenders of a part take turns, round after round; what was trained is kept and not trained again."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.processes import AbsentError
from benchmarks.results import Measured
from benchmarks.rounds import Settings
from benchmarks.schedules.facet_runs import Place, facet_trial, slug
from benchmarks.schedules.peer_runs import peer_trial
from benchmarks.schedules.preparing import Ready
from benchmarks.schedules.trials import Trial, read_trial, write_trial

Figure = Callable[[Trial], float | None]


@dataclass(frozen=True)
class Rounds:
    """What the contenders of a part showed.

    Attributes:
        trials: by contender's name, one a round; none of whoever is absent.
        absent: by name why.
    """

    trials: dict[str, list[Trial]]
    absent: dict[str, str]

    def measured(self, figure: Figure, contenders: Sequence[Contender]) -> list[Measured]:
        """Gives a figure of some contenders, Facet first; a trial without that figure makes a contender absent."""
        return [self._measured(figure, contender.name) for contender in contenders]

    def _measured(self, figure: Figure, name: str) -> Measured:
        found = [(figure(trial), trial.elsewhere) for trial in self.trials[name]]
        figures = tuple(value for value, _elsewhere in found if value is not None)
        if len(figures) < len(found) or not found:
            return Measured(name, absent=self.absent.get(name, "not measured: it does not tell"))
        return Measured(name, figures, "", tuple(elsewhere for _value, elsewhere in found))


def take_turns(
    contenders: Sequence[Contender], ready: Ready, settings: Settings, *, keep_cache: bool = False
) -> Rounds:
    """Trains round after round, A B C A B C, one process at a time; the round's number is everybody's seed.

    Args:
        contenders: Facet's own first. The others may be absent.
        ready: what they train.
        settings: how; `repeats` rounds.
        keep_cache: all rounds have one seed, and Facet's cache is filled before; else it is empty before each.

    Raises:
        FacetError: Facet failed.

    Each trial lies in the work folder when it is done: whoever is interrupted goes on there.
    """
    place = Place(made_folder(settings.work / "schedules" / "runs"), settings.peers, keep_cache)
    trials: dict[str, list[Trial]] = {contender.name: [] for contender in contenders}
    absent: dict[str, str] = {}
    settings.progress.start(f"schedule {ready.workload.name}", settings.repeats * len(contenders))
    for number in range(settings.repeats):
        for contender in contenders:
            if contender.name not in absent:
                try:
                    trials[contender.name].append(_kept(contender, ready, number, place, settings.work))
                except AbsentError as reason:
                    absent[contender.name] = str(reason)
                    trials[contender.name].clear()
            settings.progress.advance(1, contender.name)
    settings.progress.stop()
    return Rounds(trials, absent)


def made_folder(folder: Path) -> Path:
    """Gives a folder, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def trial_file(work: Path, workload: str, contender: Contender, number: int) -> Path:
    """Gives where a trial lies."""
    return work / "schedules" / "trials" / f"{re.sub(r'[^a-z0-9-]', '', workload)}-{slug(contender)}-{number}.json"


def _kept(contender: Contender, ready: Ready, number: int, place: Place, work: Path) -> Trial:
    file = trial_file(work, ready.workload.name, contender, number)
    if not file.exists():
        made_folder(file.parent)
        train = facet_trial if contender.program.startswith("facet") else peer_trial
        write_trial(file, train(contender, ready, 0 if place.keep_cache else number, place))
    return read_trial(file)
