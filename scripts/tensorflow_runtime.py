"""What commands set before TensorFlow starts. Imports never do this."""


def deterministic_tensorflow() -> None:
    """Makes the same operations give the same bits again: op determinism and one inter-op thread.

    With two inter-op threads TensorFlow sums gradients of three or more terms in run-time order: one step repeated
    16 times gave six different results; with one thread, no deviation in 70 and no slowdown.
    """
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def trains_on_gpus(kind: str) -> bool:
    """Says whether devices of a kind, `auto`, `cpu` or `gpu`, are GPUs on this machine."""
    import tensorflow as tf

    return kind != "cpu" and bool(tf.config.list_physical_devices("GPU"))
