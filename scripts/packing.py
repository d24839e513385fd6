"""What `facet pack` and `facet repack` share: a plan is shown, carried out, and reported."""

import shlex
from typing import TYPE_CHECKING

from scripts.console import Console

if TYPE_CHECKING:
    from hdf5_helper.packing.pack_plan import PackPlan


def carry_out(console: Console, plan: "PackPlan", *, dry_run: bool) -> None:
    """Says what will be done, does it unless `dry_run`, and says what was done."""
    from hdf5_helper.packing.packer import write_pack

    for sentence in plan.sentences():
        console.say(sentence)
    if dry_run:
        _show_plan(console, plan)
        return
    try:
        report = write_pack(plan, progress=console)
    except KeyboardInterrupt:
        console.stop()
        console.say(f"{plan.target}: what is written so far is kept, and the same command goes on with it")
        raise
    if console.as_json:
        console.result(report.summary())
        return
    for sentence in report.sentences():
        console.say(sentence)
    console.say(f"next: facet inspect {shlex.quote(str(report.path))}")


def _show_plan(console: Console, plan: "PackPlan") -> None:
    if console.as_json:
        console.result(plan.summary())
    else:
        console.say("Nothing was written: --dry-run")
