"""What a training goes on from: the newest whole checkpoint of its run, or one of another run."""

from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from models.training.checkpoints import Checkpoint, check_whole, load_checkpoint
from models.training.distribution.replicas import Replicas
from models.training.runs import Run


def newest_checkpoint(run: Run, replicas: Replicas, say: Say) -> Checkpoint | None:
    """Gives the newest checkpoint that is whole, None where there is none.

    Damaged ones are passed over with a warning, and renamed so that they are not taken for checkpoints again. Which one
    it is the chief decides; all workers load it.
    """
    while True:
        name = replicas.chiefs(_newest_whole(run, say) if replicas.chief else None)
        if name is None:
            say(f"run {run.name} has no checkpoint yet: beginning anew")
            return None
        try:
            with replicas.scope():
                checkpoint = load_checkpoint(run.checkpoints / name)
        except FacetError as error:
            if replicas.workers > 1:
                raise
            _pass_over(run, name, error, say)
            continue
        say(f"resuming {run.name} from {name}")
        return checkpoint


def _newest_whole(run: Run, say: Say) -> str | None:
    """Gives the newest whole checkpoint's name, and makes `latest` mean it."""
    latest, names = run.pointed("latest"), run.checkpoint_names()[::-1]
    for name in [*(name for name in names if name == latest), *(name for name in names if name != latest)]:
        try:
            check_whole(run.checkpoints / name)
        except FacetError as error:
            _pass_over(run, name, error, say)
            continue
        if name != latest:
            run.point("latest", name)
        return name
    return None


def _pass_over(run: Run, name: str, error: FacetError, say: Say) -> None:
    say(f"warning: passed over {error}; it is {name}.damaged now")
    path = run.checkpoints / name
    path.replace(path.with_name(f"{name}.damaged"))


def carry_over(earlier: Any, optimizer: Any, say: Say) -> None:
    """Gives a new optimizer the moments of an earlier one, where both are of one kind and train the same shapes."""
    if earlier is None:
        return
    old, new = earlier.variables, optimizer.variables
    if type(earlier) is not type(optimizer) or [v.shape for v in old] != [v.shape for v in new]:
        say("a new optimizer, since kind or trained layers are not those of the earlier run")
        return
    for source, target in zip(old, new, strict=True):
        if target is not optimizer.learning_rate:
            target.assign(source.numpy())
