"""Labelled face images on disk -> one HDF5 file -> batches. NumPy, h5py and OpenCV; TensorFlow in pipeline.py alone.

Names are imported when they are first used, so that `import hdf5_helper` answers at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdf5_helper.errors import FacetError
    from hdf5_helper.packing.packer import PackOptions, pack
    from hdf5_helper.reading.generator import HDF5Generator
    from hdf5_helper.reading.reader import HDF5Reader
    from hdf5_helper.walkthrough import split_by_age, split_by_gender, write_data_to_hdf5

_MODULES = {
    "FacetError": "errors",
    "HDF5Generator": "reading.generator",
    "HDF5Reader": "reading.reader",
    "PackOptions": "packing.packer",
    "pack": "packing.packer",
    "split_by_age": "walkthrough",
    "split_by_gender": "walkthrough",
    "write_data_to_hdf5": "walkthrough",
}

__all__ = [
    "FacetError",
    "HDF5Generator",
    "HDF5Reader",
    "PackOptions",
    "pack",
    "split_by_age",
    "split_by_gender",
    "write_data_to_hdf5",
]


def __getattr__(name: str) -> Any:
    """Imports the module of one public name."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
