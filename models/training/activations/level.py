"""One cut's activations: read where they are kept, computed in blocks of one size where they are not, and then kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from hdf5_helper.reading.order import Indices
from models.training.activations.activation_file import ActivationFile
from models.training.activations.number_formats import restored_rows, stored_rows
from models.training.activations.views import Pixels

Values = NDArray[Any]

#: What makes the rows of a cut from images, or from the rows of the cut below: (block, …) from (block, …).
Compute = Callable[[Values], Values]


@dataclass(frozen=True)
class Block:
    """Rows to be computed at once, with what was read for it.

    Attributes:
        rows, views: int64 (n,) each, n from 1 to the level's block.
        inputs: (m, …), what is computed from: images, or those of the rows that the level below has.
        there: bool (n,), which rows `inputs` is of.
        rest: the other rows, for the level below to compute; None where there are none.
    """

    rows: Indices
    views: Indices
    inputs: Values
    there: NDArray[np.bool_]
    rest: Optional["Block"] = None


class Level:
    """The rows of one cut in several views.

    What it computes it gives as its files would give it back, so nothing depends on what was kept before, or on whether
    there was room to keep it.

    Attributes:
        block: rows that are computed at once.

    Args:
        files: one a view, all of one shape and number format.
        compute: what a block goes through; a block that is not full is padded by repeating its first row.
        below: the level whose rows are computed from; None where images are.
        block: at least 2: one row alone would come out different in its last digits.
    """

    def __init__(
        self, files: tuple[ActivationFile, ...], compute: Compute, below: Optional["Level"] = None, *, block: int = 64
    ) -> None:
        if block < 2:
            raise FacetError(f"activations in blocks of {block}: expected at least 2 rows")
        self._files, self._compute, self._below, self.block = files, compute, below, block

    def has(self, rows: Indices, views: Indices) -> NDArray[np.bool_]:
        """Says which rows (n,) in which views (n,) are kept, bool (n,)."""
        return self._by_view(rows, views, lambda file, mine: file.has(mine))

    def read(self, rows: Indices, views: Indices) -> Values:
        """Gives rows that are kept, (n, *shape); raises FacetError for others."""
        return self._by_view(rows, views, lambda file, mine: file.read(mine))

    def compute(self, rows: Indices, views: Indices, pixels: Pixels) -> Values:
        """Computes rows (n,) in views (n,), keeps them as long as there is room, and gives them, (n, *shape)."""
        parts = [slice(start, start + self.block) for start in range(0, len(rows), self.block)]
        values = [self.finish(self.prepare(rows[part], views[part], pixels)) for part in parts]
        return np.concatenate(values) if values else self.read(rows, views)

    def prepare(self, rows: Indices, views: Indices, pixels: Pixels) -> Block:
        """Reads, on whatever thread, what computing rows takes, at most `block` of them."""
        if self._below is None:
            return Block(rows, views, pixels(rows, views), np.ones(len(rows), bool))
        there = self._below.has(rows, views)
        rest = None if there.all() else self._below.prepare(rows[~there], views[~there], pixels)
        return Block(rows, views, self._below.read(rows[there], views[there]), there, rest)

    def finish(self, block: Block) -> Values:
        """Computes what was prepared, here and below, keeps it as long as there is room, and gives it, (n, *shape)."""
        inputs = block.inputs
        if self._below is not None and block.rest is not None:
            inputs = merged(block.there, inputs, self._below.finish(block.rest))
        padding = np.repeat(inputs[:1], self.block - len(inputs), axis=0)
        values = self._compute(np.concatenate([inputs, padding]))[: len(inputs)]
        for view in np.unique(block.views).tolist():
            mine = block.views == view
            self._files[view].write(block.rows[mine], values[mine])
        number_format = self._files[0].key.dtype
        return restored_rows(stored_rows(values, number_format), number_format)

    def _by_view(
        self, rows: Indices, views: Indices, ask: Callable[[ActivationFile, Indices], NDArray[Any]]
    ) -> NDArray[Any]:
        """Asks each view's file about its own rows and gives what they answer in the order of `rows`."""
        if not len(rows) or (views == views[0]).all():
            return ask(self._files[int(views[0]) if len(rows) else 0], rows)
        answers = [(views == view, ask(self._files[view], rows[views == view])) for view in np.unique(views).tolist()]
        together = np.empty((len(rows), *answers[0][1].shape[1:]), answers[0][1].dtype)
        for mine, answer in answers:
            together[mine] = answer
        return together


def merged(there: NDArray[np.bool_], values: Values, others: Values) -> Values:
    """Gives `values` in the places that `there` names, bool (n,), and `others` in the other ones."""
    together = np.empty((len(there), *others.shape[1:]), others.dtype)
    together[there], together[~there] = values, others
    return together
