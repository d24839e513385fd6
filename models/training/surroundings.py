"""What the last bits of a training depend on beside its settings, so that a resume under other values can say so."""

import platform
from pathlib import Path

from hdf5_helper.cores import available_cores

#: What decides which examples share a mask of dropout.
_OF_MASKS = ("replicas", "gradient accumulation")


def surroundings(replicas: int = 1, precision: str = "float32", parts: int = 1) -> dict[str, str]:
    """Gives versions, threads, oneDNN setting and CPU of this process, as text by name.

    Args:
        replicas: that share a batch.
        precision: of the training step.
        parts: that each replica does its share in.
    """
    import keras
    import tensorflow as tf

    # TensorFlow has no public question for this; Keras asks it the same way
    from tensorflow.python.framework.config import is_op_determinism_enabled

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "inter-op threads": str(tf.config.threading.get_inter_op_parallelism_threads()),
        "intra-op threads": str(tf.config.threading.get_intra_op_parallelism_threads() or available_cores()),
        "op determinism": str(is_op_determinism_enabled()),
        "oneDNN": "on" if computes_with_onednn() else "off",
        "CPU": cpu_name(),
        "replicas": str(replicas),
        "gradient accumulation": str(parts),
        "precision": precision,
    }


def computes_with_onednn() -> bool:
    """Says whether TensorFlow computes on the processor with oneDNN.

    By itself it does so where there is AVX-512 or better. Without, grouped convolutions have no gradient, and a row's
    last digits depend on its place in the batch.
    """
    # TensorFlow has no public question for this; its own tests ask it the same way
    from tensorflow.python.util import _pywrap_util_port

    return bool(_pywrap_util_port.IsMklEnabled())


def cpu_name() -> str:
    """Gives the processor's model, on which the instruction set depends."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def changed(then: dict[str, str], now: dict[str, str]) -> str:
    """Gives one sentence on what differs between a checkpoint's surroundings and these, empty where nothing does."""
    differences = [f"{name} was {value}, is {now.get(name)}" for name, value in then.items() if now.get(name) != value]
    if not differences:
        return ""
    masks = any(now.get(name) != then[name] for name in _OF_MASKS if name in then)
    what = "the last digits, and with dropout its masks," if masks else "the last digits"
    return f"{what} may differ from an unbroken run: " + "; ".join(differences)
