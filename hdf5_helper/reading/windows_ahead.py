"""Under shuffle `blocks`: has the system read what the next batches are mixed from, before they are asked for."""

from hdf5_helper.reading.order import Order
from hdf5_helper.reading.reader import HDF5Reader


class WindowsAhead:
    """Has windows of blocks read in the background: the one that batches come from and the next.

    So the disk reads whole blocks while the batches before them are decoded, whatever the system's own idea of reading
    ahead: a window of 32 MB is mixed, and page by page it would be read at random. Whoever goes through a generator in
    order has each window asked for once, and behind the last epoch the first window of another.
    """

    def __init__(self, reader: HDF5Reader, order: Order) -> None:
        self._reader, self._order = reader, order
        self._here: tuple[int, int] | None = None
        self._asked: tuple[int, int] | None = None

    def reach(self, epoch: int, step: int) -> None:
        """Takes note of where the batches are: (epoch from 1, step from 0)."""
        here = (epoch, self._order.window(epoch, step))
        if here == self._here:
            return
        self._here = here
        following = (epoch, here[1] + 1)
        if not len(self._order.window_rows(*following)):
            following = (epoch + 1, 0)
        if following != self._asked:
            for window in (following,) if here == self._asked else (here, following):
                self._reader.prefetch(self._order.window_rows(*window))
            self._asked = following
