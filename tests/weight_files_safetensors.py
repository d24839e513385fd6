"""Writes safetensors files after the format's description: no library of that name is needed."""

import json
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def write_safetensors(path: Path, layers: list[tuple[str, dict[str, np.ndarray]]], framework: str = "pt") -> None:
    """Writes layers, each with its arrays by role: `conv1` with `weight` becomes `conv1.weight`."""
    arrays = {f"{layer}.{role}": array for layer, roles in layers for role, array in roles.items()}
    path.write_bytes(safetensors_bytes(arrays, {"format": framework}))


def safetensors_bytes(arrays: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Gives a file's bytes; the header is filled with spaces to a multiple of 8 bytes, as the library does."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    position = 0
    for name, array in arrays.items():
        offsets = [position, position + array.nbytes]
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": array.shape, "data_offsets": offsets}
        position += array.nbytes
    return file_bytes(header, b"".join(array.tobytes() for array in arrays.values()))


def file_bytes(header: Any, numbers: bytes) -> bytes:
    """Gives a file of any header, which is JSON already or becomes such."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + numbers
