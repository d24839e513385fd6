"""From `--devices` and the cluster's variables to the replicas that train together, under each other's watch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from models.training.distribution.cluster import Cluster
from models.training.distribution.devices import Devices, check_with_cluster, configure_devices
from models.training.distribution.replicas import Replicas
from models.training.distribution.waiting import await_workers, bounded
from models.training.distribution.watch import Watch

#: Seconds that workers wait for one another at the start: a cluster may give machines one by one.
_TO_GATHER = 600.0

#: Seconds in which those who are there join; it takes longer only where one is lost at that very moment.
_TO_JOIN = 120.0


@contextmanager
def gathered(devices: Devices, cluster: Cluster | None, limit: float, say: Say) -> Iterator[Replicas]:
    """Gives the replicas of a training; with several workers, once all are there.

    To be entered before TensorFlow computes anything. While workers are awaited, SIGINT and SIGTERM end the process at
    once with 130 and 143.

    Args:
        devices: to train on.
        cluster: the workers, None for this process alone.
        limit: seconds after which a worker that does not answer is lost.
        say: takes sentences for the user.

    Raises:
        FacetError: devices that are not there or do not fit the cluster; workers that do not come
            together in ten minutes.
    """
    check_with_cluster(devices, cluster)
    names = configure_devices(devices)
    if cluster is None:
        yield Replicas(_strategy(names))
        return
    others = ", ".join(cluster.name(number) for number in range(cluster.count) if number != cluster.index)
    say(f"{cluster.name(cluster.index)} of {cluster.count}, waiting for {others}")
    await_workers(cluster, _TO_GATHER, say)
    say(f"all {cluster.count} workers answer: joining them, for {_TO_JOIN:g} s at most")
    with bounded(_TO_JOIN):
        replicas, watch = _joined(cluster, limit)
    with watch:
        say(f"all {cluster.count} workers are there: {replicas.count} replicas")
        yield replicas


def _strategy(names: list[str]) -> Any:
    """Gives what keeps several devices of this process equal; one alone needs nothing."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names) if len(names) > 1 else None


def _joined(cluster: Cluster, limit: float) -> tuple[Replicas, Watch]:
    """Brings the workers together, once all are there."""
    import tensorflow as tf

    try:
        replicas = Replicas(_workers_strategy(cluster, limit), cluster.index, cluster.count)
        return replicas, _watch(cluster, limit, replicas)
    except (tf.errors.OpError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise FacetError(
            f"{cluster.name(cluster.index)} cannot join the others: {reason} ({type(error).__name__})"
        ) from None


def _workers_strategy(cluster: Cluster, limit: float) -> Any:
    import tensorflow as tf

    _wait_longer_than(limit, cluster.count)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)


def _wait_longer_than(limit: float, workers: int) -> None:
    """Makes TensorFlow's own watch, whose ten seconds cannot be set by public names, more patient than `limit`."""
    from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
    from tensorflow.python.eager import context

    job = coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=workers)
    context.context().configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[job],
        cluster_register_timeout_in_ms=round(1000 * _TO_JOIN / 2),
        heartbeat_timeout_in_ms=round(1000 * (2 * limit + 30)),
    )


def _watch(cluster: Cluster, limit: float, replicas: Replicas) -> Watch:
    """Starts the watch: the chief listens, and its port and token travel to the others as a collective's numbers."""
    watch = Watch.listen(cluster, limit) if cluster.chief else None
    port, token = replicas.chiefs((watch.port, watch.token) if watch else None)
    return watch or Watch.join(cluster, limit, port, token)
