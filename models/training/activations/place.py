"""Where the activation cache lies."""

import os
from pathlib import Path

from models.training.runs import history_folder


def cache_folder() -> Path:
    """Gives the folder of what can be computed again: `$FACET_CACHE`, else `.cache` in the folder of all runs."""
    given = os.environ.get("FACET_CACHE")
    return Path(given) if given else history_folder() / ".cache"


def activations_folder() -> Path:
    """Gives the folder of the activation files."""
    return cache_folder() / "activations"
