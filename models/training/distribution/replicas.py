"""The devices that train one model together, in this process and in others, and how values travel between them."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Replicas:
    """Devices that hold one model each and take the same steps, each on its own share of every batch.

    Attributes:
        strategy: tf.distribute.Strategy that keeps the models equal.
        count: replicas over all workers.
        local: replicas of this worker.
        worker, workers: number of this process, from 0, and of all.

    Args:
        strategy: without one, the default device alone.
        worker, workers: as the attributes.
    """

    def __init__(self, strategy: Any = None, worker: int = 0, workers: int = 1) -> None:
        import tensorflow as tf

        self.strategy = strategy or tf.distribute.get_strategy()
        self.count = int(self.strategy.num_replicas_in_sync)
        self.local, self.worker, self.workers = self.count // workers, worker, workers

    @property
    def chief(self) -> bool:
        """True in the one process that writes."""
        return self.worker == 0

    def scope(self) -> AbstractContextManager[Any]:
        """Variables made in it exist on every replica; all workers must make the same ones, so none saves inside."""
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def share(self, values: NDArray[Any], part: int) -> NDArray[Any]:
        """Gives the rows of one of this worker's replicas, `part` from 0, of the rows (n, …) that the worker has."""
        rows = len(values) // self.local
        return values[part * rows : (part + 1) * rows]

    def spread(self, make: Callable[[int], Any]) -> Any:
        """Gives each of this worker's replicas its own value, on its own device.

        Args:
            make: from the replica's number among this worker's to arrays, or to a dict or list of such.
        """
        import tensorflow as tf

        if self.count == 1:
            return tf.nest.map_structure(tf.constant, make(0))
        devices, first = self.strategy.extended.worker_devices, self.worker * self.local

        def placed(context: Any) -> Any:
            part = context.replica_id_in_sync_group - first
            with tf.device(devices[part]):
                return tf.nest.map_structure(tf.constant, make(part))

        return self.strategy.experimental_distribute_values_from_function(placed)

    def first_of(self, value: Any) -> NDArray[Any]:
        """Gives the value of this worker's first replica."""
        result: NDArray[Any] = self.strategy.experimental_local_results(value)[0].numpy()
        return result

    def chiefs(self, value: Any) -> Any:
        """Gives, in every worker, the chief's `value` (what JSON can hold); all workers must ask together."""
        if self.workers == 1:
            return value
        text = np.frombuffer(json.dumps(value).encode(), np.uint8)
        length = int(self._added([len(text)] if self.chief else [0])[0])
        return json.loads(self._added(text if self.chief else np.zeros(length)).astype(np.uint8).tobytes())

    def agree(self, value: Any) -> bool:
        """Says, in every worker, whether all have the chief's `value` (what JSON can hold); all must ask together."""
        if self.workers == 1:
            return True
        return not self._added([self.chiefs(value) != value])[0]

    def _added(self, numbers: Any) -> NDArray[np.float32]:
        """Adds up every worker's numbers (n,); float32 is what every device can add."""
        import tensorflow as tf

        mine = np.array(numbers, np.float32)
        values = self.spread(lambda part: mine if part == 0 else np.zeros_like(mine))
        total: NDArray[np.float32] = self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None).numpy()
        return total
