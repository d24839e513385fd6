"""What a machine is expected to do in a second: round numbers, for choosing between ways that differ by factors."""

from dataclasses import dataclass

from hdf5_helper.cores import available_cores
from models.processor import has_bfloat16

#: Convolutions in float32, multiply-accumulates a second and core. Measured: fine-tuning VGG19's top 4 layers at
#: 150×150 does 11 images/s on two cores with AVX-512, about 100 G together; cores with AVX2 alone do half of that.
_CORE_SPEED = 30e9
#: Of bfloat16 to float32 on cores that have its instructions (measured likewise: 22 images/s to 11); elsewhere nothing.
_BFLOAT16_GAIN = 2.0
#: Not measured: a third of what data sheets of common graphics cards say.
_GPU_SPEED = 20e12
#: Storage, bytes a second: SATA's solid-state disks write so; rows are read at random, from memory or a faster disk.
_WRITE_SPEED, _READ_SPEED = 500e6, 1e9


@dataclass(frozen=True)
class Speeds:
    """What a machine does in a second.

    Attributes:
        training, validation: multiply-accumulates, in the run's precision and in float32.
        write, read: bytes of storage.
    """

    training: float
    validation: float
    write: float = _WRITE_SPEED
    read: float = _READ_SPEED


def speeds_here(precision: str, gpus: int = 0) -> Speeds:
    """Gives the speeds of a machine like this one.

    Args:
        precision: `float32` or `mixed_bfloat16`.
        gpus: graphics cards that train; 0 for the processor.
    """
    plain = gpus * _GPU_SPEED if gpus else _CORE_SPEED * available_cores()
    gains = precision == "mixed_bfloat16" and (gpus > 0 or has_bfloat16())
    return Speeds(plain * (_BFLOAT16_GAIN if gains else 1.0), plain)
