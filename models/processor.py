"""What this machine's processor can do."""

from pathlib import Path

_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def has_bfloat16() -> bool:
    """Says whether this processor computes in bfloat16; False where the system does not tell."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in _BFLOAT16_FLAGS)
