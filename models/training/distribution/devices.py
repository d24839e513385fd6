"""On which devices of this machine a training runs: `--devices`."""

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.wording import count_text
from models.training.distribution.cluster import Cluster

_EXPECTED = "expected auto, cpu, cpu:N with N of at least 1, gpu, or gpu and different numbers such as gpu:0,1"


@dataclass(frozen=True)
class Devices:
    """What `--devices` says.

    Attributes:
        kind: `auto` (all GPUs, else one CPU), `cpu` or `gpu`.
        count: replicas on the CPU, of which each is a logical device; 1 for other kinds.
        numbers: of the chosen GPUs, as TensorFlow counts them; empty for all that are there.
    """

    kind: str = "auto"
    count: int = 1
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what is no choice of devices."""
        alone = self.kind == "cpu" or self.count == 1
        fits = self.kind in {"auto", "cpu", "gpu"} and alone and (self.kind == "gpu" or not self.numbers)
        different = len(set(self.numbers)) == len(self.numbers)
        if not fits or not different or self.count < 1 or min(self.numbers, default=0) < 0:
            raise FacetError(f"--devices {self}: {_EXPECTED}")

    def __str__(self) -> str:
        more = ",".join(map(str, self.numbers)) or (str(self.count) if self.count != 1 else "")
        return f"{self.kind}:{more}" if more else self.kind


def parse_devices(text: str) -> Devices:
    """Reads `auto`, `cpu`, `cpu:2`, `gpu` or `gpu:0,1`; raises FacetError for anything else."""
    if not re.fullmatch(r"auto|cpu(:\d{1,4})?|gpu(:\d{1,4}(,\d{1,4})*)?", text, re.ASCII):
        raise FacetError(f"--devices {text}: {_EXPECTED}")
    kind, _, more = text.partition(":")
    numbers = tuple(int(number) for number in more.split(",")) if more else ()
    return Devices(kind, numbers[0]) if kind == "cpu" and numbers else Devices(kind, numbers=numbers)


def check_with_cluster(devices: Devices, cluster: Cluster | None) -> None:
    """Refuses several CPU replicas in one worker of several: TensorFlow takes one CPU replica a worker."""
    if cluster and devices.count > 1:
        raise FacetError(
            f"--devices {devices} together with {cluster.count} workers: a worker has one CPU replica,"
            " expected --devices cpu and as many workers as replicas"
        )


def configure_devices(devices: Devices) -> list[str]:
    """Prepares TensorFlow's devices and gives the names of those to train on, such as `GPU:0`.

    The chosen GPUs alone become visible, so that they are numbered from 0 again, and take memory as they need it. To be
    called before anything is computed; once more with the same devices does nothing. Under `auto`, a process that has
    used TensorFlow already keeps its own configuration.

    Raises:
        FacetError: for GPUs that are not there, and where it is too late to configure.
    """
    try:
        return _split_cpu(devices.count) if devices.kind == "cpu" else _choose_gpus(devices)
    except RuntimeError:  # TensorFlow's context exists
        raise FacetError(
            f"--devices {devices}: TensorFlow was used in this process before, expected devices to be chosen first"
        ) from None


def _split_cpu(count: int) -> list[str]:
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    if count > 1:
        parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return [f"CPU:{number}" for number in range(count)]


def _choose_gpus(devices: Devices) -> list[str]:
    import tensorflow as tf

    if devices.kind == "auto":
        gpus = tf.config.get_visible_devices("GPU")
        with contextlib.suppress(RuntimeError, ValueError):  # the process has its own configuration
            _grow(gpus)
    else:
        gpus = _asked_gpus(devices, tf.config.list_physical_devices("GPU"))
        tf.config.set_visible_devices(gpus, "GPU")
        _grow(gpus)
    return [f"GPU:{number}" for number in range(len(gpus))] or ["CPU:0"]


def _asked_gpus(devices: Devices, found: list[Any]) -> list[Any]:
    """Gives the asked-for ones of TensorFlow's physical GPUs."""
    if not found or max(devices.numbers, default=0) >= len(found):
        here = f"{count_text(len(found), 'GPU')} (numbered from 0)" if found else "no GPU"
        raise FacetError(f"--devices {devices}: TensorFlow finds {here} on this machine, expected those asked for")
    return [found[number] for number in devices.numbers] or found


def _grow(gpus: list[Any]) -> None:
    """Lets GPUs take memory as it is needed, instead of all of it at the start."""
    import tensorflow as tf

    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
