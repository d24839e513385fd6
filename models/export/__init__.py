"""Export of trained models to other programs' formats; names are loaded when they are asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.export.exporting import Exported, convert_h5_to_pb, export_model
    from models.export.loading import FrozenGraph, load_frozen_graph

_HOMES = {
    "Exported": "exporting",
    "FrozenGraph": "loading",
    "convert_h5_to_pb": "exporting",
    "export_model": "exporting",
    "load_frozen_graph": "loading",
}

__all__ = ["Exported", "FrozenGraph", "convert_h5_to_pb", "export_model", "load_frozen_graph"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
