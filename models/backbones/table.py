"""What `--backbone help` prints."""

import itertools
import re

from models.backbones.registry import APPLICATIONS, BACKBONES, Backbone


def backbone_table() -> str:
    """Gives the backbones as text, a line each: name, parameters in millions, size, what it wants to see, stages.

    Keras is not imported for it.
    """
    titles = ("backbone", "parameters", "size", "input", "stages for --trainable-layers")
    rows = [titles, *(_row(backbone) for backbone in BACKBONES.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    others = ", ".join(sorted(APPLICATIONS.keys() - {backbone.application for backbone in BACKBONES.values()}))
    return "\n".join([*lines, "", f"Any other function of keras.applications by its own name: {others}."])


def _row(backbone: Backbone) -> tuple[str, ...]:
    millions = f"{backbone.parameters / 1e6:.1f} M"
    return backbone.name, millions, str(backbone.size), backbone.preprocessing.in_words(), _runs(backbone.stages)


def _runs(stages: tuple[str, ...]) -> str:
    """Gives `stem, block1-13, top`: stages of one word whose numbers follow one another as one."""
    groups = itertools.groupby(stages, key=lambda stage: re.sub(r"\d+$", "", stage))
    told = []
    for word, members in groups:
        found = list(members)
        told.append(found[0] if len(found) == 1 else f"{found[0]}-{found[-1].removeprefix(word)}")
    return ", ".join(told)
