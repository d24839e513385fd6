"""Weights that `torch.save` wrote, read without PyTorch; nothing in the file is run.

Both of its formats: zip archives (since 1.6) and the sequence of pickles and storages before. Names are the file's own
(`layer1.0.conv1.weight`). Sources: `torch/serialization.py` and `torch/_utils.py` of PyTorch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from models.pretrained import pytorch_legacy, pytorch_zip
from models.pretrained.mapped import mapped
from models.pretrained.named_arrays import LONGEST_NAME, NamedArrays, is_name
from models.pretrained.tensor_views import Tensor, arrays_of

#: What checkpoints call the state dict of their model, the likeliest first.
_ENTRIES = ("state_dict", "model_state_dict", "model", "net", "network", "weights")

#: What wrappers put before every name: DataParallel and its kin, and torch.compile.
_PREFIXES = ("module.", "_orig_mod.")


def looks_like(head: bytes) -> bool:
    """Tells whether a file that begins so may be of `torch.save`: any zip archive, or its first pickle, or its tar."""
    return pytorch_zip.looks_like(head) or pytorch_legacy.looks_like(head) or pytorch_legacy.is_tar(head)


def read_pytorch(path: Path) -> NamedArrays:
    """Gives the arrays of a state dict, views of the file.

    A checkpoint that holds the state dict in an entry (`state_dict`, `model_state_dict`, `model`, …) beside the
    optimizer's is understood. The prefixes `module.` and `_orig_mod.`, where all names have them, are left out.

    Returns:
        NamedArrays with kernels (out, in, height, width); bfloat16 becomes float32, bool uint8.

    Raises:
        FacetError: the file is damaged, is not of `torch.save`, holds no state dict, or would run anything.
    """
    data = mapped(path)
    try:
        form = pytorch_zip if pytorch_zip.looks_like(data[:512]) else pytorch_legacy
        content, bytes_of = form.read(data)
        arrays = arrays_of(_named(_state_dict(content)), bytes_of)
    except FacetError as error:
        raise FacetError(f"{path}: {error}") from None
    return NamedArrays(form.FORM, arrays, "OIHW")


def _state_dict(content: Any) -> dict[str, Tensor]:
    """Gives the tensors of the state dict that a file holds or is."""
    if not isinstance(content, dict):
        raise FacetError(f"holds a {type(content).__name__}, expected a state dict: what model.state_dict() gives")
    # an entry that is there many times is looked at once
    entries = {id(value): (name, value) for name, value in content.items() if isinstance(value, dict)}
    found = {name: tensors for name, value in entries.values() if (tensors := _tensors(value))}
    for name in _ENTRIES:
        if name in found:
            return found[name]
    outer = _tensors(content)
    if outer or len(found) == 1:
        return outer or next(iter(found.values()))
    if found:
        names = ", ".join(f"{name!r:.40}" for name in list(found)[:8])
        raise FacetError(f"holds tensors in {names}, expected one of {', '.join(_ENTRIES)}")
    raise FacetError("holds no tensors by name, expected a state dict: what model.state_dict() gives")


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Gives the entries that are tensors; a state dict may have others, such as a module's extra state."""
    return {name: value for name, value in content.items() if isinstance(value, Tensor) and isinstance(name, str)}


def _named(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gives tensors without what wrappers put before their names."""
    for name in tensors:
        if not is_name(name):
            raise FacetError(f"a tensor is called {name!r:.60}, expected 1 to {LONGEST_NAME} printable characters")
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) and name != prefix for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
