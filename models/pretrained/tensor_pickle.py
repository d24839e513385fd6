"""Reads the pickles in PyTorch's files: tensors and plain values. Nothing that they name is imported or run.

Sources: `torch/_utils.py` and `torch/serialization.py` for what tensors are made of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hdf5_helper.errors import FacetError
from models.pretrained.pickle_machine import PLAIN_OPERATIONS, Global, Machine, damaged, items_of
from models.pretrained.tensor_views import MAX_AXES, STORAGES, Storage, Tensor

#: A checkpoint of 1,000 tensors and its optimizer takes 150,000 operations and 0.2 s.
_MAX_OPERATIONS, _MAX_BYTES = 1_000_000, 64_000_000

#: PyTorch's calls have 7 at most; more would be copied for each call.
_MAX_ARGUMENTS = 10

_WHOLE_MODEL = "expected tensors: load the file in PyTorch where you trust it, and save model.state_dict() instead"


@dataclass(frozen=True)
class Pickle:
    """What a pickle holds, with Tensor in place of tensors; all storages that it names, by key; and where it ends."""

    value: Any
    storages: dict[str, Storage]
    end: int


def read_pickle(data: memoryview, start: int = 0) -> Pickle:
    """Reads a pickle. Of objects' further state (`__setstate__`) nothing is kept.

    Args:
        data: bytes in which it lies.
        start: its first byte there.

    Raises:
        FacetError: it wants anything run but the making of tensors and of ordered dicts, holds a whole model, uses an
            operation that tensors do not need, is damaged, or is longer than a million operations or 64 MB.
    """
    machine = Machine(data[: start + _MAX_BYTES], start)
    for _ in range(_MAX_OPERATIONS):
        code = machine.take(1)
        if code == b".":
            return Pickle(machine.pop(), machine.outside, machine.position)
        if code not in _OPERATIONS:
            raise FacetError(f"its pickle uses operation {code!r}, expected those of tensors only")
        _OPERATIONS[code](machine)
    raise FacetError(f"its pickle has more than {_MAX_OPERATIONS:,} operations, expected a smaller one")


def _call(machine: Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    make = _CALLS.get(f"{function.module}.{function.name}") if isinstance(function, Global) else None
    if make is None:
        what = function if isinstance(function, Global) else f"a {type(function).__name__}"
        raise FacetError(f"would run {what}, expected tensors only")
    if not isinstance(arguments, tuple) or len(arguments) > _MAX_ARGUMENTS:
        raise damaged(f"calls {function} without arguments or with too many")
    machine.push(make(arguments))


def _object(machine: Machine) -> None:
    _arguments, kind = machine.pop(), machine.pop()
    raise FacetError(f"holds a whole object of class {kind if isinstance(kind, Global) else '?'}, {_WHOLE_MODEL}")


def _persistent(machine: Machine) -> None:
    """Lays a Storage on the stack for what names it: a kind, a key, a device that is passed over, and a length."""
    identity = machine.pop()
    match identity[:_MAX_ARGUMENTS] if isinstance(identity, tuple) else ():
        case ("storage", Global(module="torch" | "torch.cuda", name=name), str(key), _, int(count), *view) if (
            name in STORAGES and count >= 0 and view in ([], [None])
        ):
            storage = Storage(key, STORAGES[name], count)
            if machine.outside.setdefault(key, storage) != storage:
                raise damaged(f"gives storage {key!r:.40} two kinds or lengths")
            machine.push(storage)
        case ("storage", Global() as kind, *_):
            raise FacetError(f"has a storage of kind {kind}, or a part of one, expected one of {', '.join(STORAGES)}")
        case ("module", Global() as kind, *_):
            raise FacetError(f"holds a whole model of class {kind}, {_WHOLE_MODEL}")
        case _:
            raise damaged("refers to something outside of it that is no storage")


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides), *_) if len(shape) == len(
            strides
        ) <= MAX_AXES and all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)):
            return Tensor(storage, offset, shape, strides)
    raise damaged("makes a tensor of something else than a storage, an offset, a shape and strides")


def _parameter(arguments: tuple[Any, ...]) -> Tensor:
    if arguments and isinstance(arguments[0], Tensor):
        return arguments[0]
    raise damaged("makes a parameter of something else than a tensor")


def _ordered_dict(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """Gives a dict, of the pairs that Python 2 wrote as the only argument."""
    pairs = arguments[0] if arguments else []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise damaged("makes an ordered dict of something else than pairs")
    found = items_of(pairs)
    # a list that many calls share would take memory again for each
    pairs.clear()
    return found


def _size(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(arguments) == 1 and isinstance(arguments[0], tuple):
        return arguments[0]
    raise damaged("makes a torch.Size of something else than a tuple")


#: What may be called, by the name that pickles give it, and what is done instead.
_CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
}

_OPERATIONS: dict[bytes, Callable[[Machine], None]] = {
    **PLAIN_OPERATIONS,
    b"R": _call,
    # the state of an object: its dict of attributes, such as a state dict's `_metadata`
    b"b": lambda machine: machine.pop() and None,
    b"\x81": _object,
    b"Q": _persistent,
}
