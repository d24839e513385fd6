"""What `facet pack` and `facet repack` share: a plan is shown, carried out, and reported."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scripts.console import Console

if TYPE_CHECKING:
    from hdf5_helper.packing.pack_plan import PackPlan


def carry_out(console: Console, plan: "PackPlan", *, dry_run: bool, **facts: Any) -> None:
    """Says what will be done, does it unless `dry_run`, and says what was done; `facts` are further JSON values."""
    from hdf5_helper.packing.packer import write_pack

    for sentence in plan.sentences():
        console.say(sentence)
    if dry_run:
        _show_plan(console, plan, facts)
        return
    try:
        report = write_pack(plan, progress=console)
    except KeyboardInterrupt:
        console.stop()
        console.say(f"{plan.target}: {_what_is_kept(plan)}")
        raise
    if console.as_json:
        console.result({**report.summary(), **facts})
        return
    for sentence in report.sentences():
        console.say(sentence)
    console.say(f"next: facet inspect {shlex.quote(str(report.path))}")


def _what_is_kept(plan: "PackPlan") -> str:
    """Says what an interruption leaves: copying is not noted, and begins anew."""
    from hdf5_helper.packing.copying import is_copied

    if is_copied(plan.survey, plan.options):
        return "is not written, and the same command begins anew"
    return "what is written so far is kept, and the same command goes on with it"


def _show_plan(console: Console, plan: "PackPlan", facts: Mapping[str, Any]) -> None:
    if console.as_json:
        console.result({**plan.summary(), **facts})
    else:
        console.say("Nothing was written: --dry-run")
