"""Networks: backbones, heads, weights, training and export. `GenderModel` and its kin are loaded when asked for."""

from typing import Any

__all__ = ["AgeGenderModel", "AgeModel", "AttributeModel", "GenderModel"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        import models.interface.face_models as found

        return getattr(found, name)
    raise AttributeError(f"module 'models' has no attribute {name!r}")
