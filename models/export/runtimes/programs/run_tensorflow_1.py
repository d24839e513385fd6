"""Runs a frozen graph or a SavedModel in TensorFlow 1.15 by its C library, without any TensorFlow for Python."""

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

# TF_DataType: https://github.com/tensorflow/tensorflow/blob/v1.15.5/tensorflow/c/tf_datatype.h
_FLOAT32, _UINT8 = 1, 4


class _Output(ctypes.Structure):
    """TF_Output: an operation and which of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Buffer(ctypes.Structure):
    """The beginning of TF_Buffer, which TF_NewBufferFromString fills."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t))


_VOID, _INT, _SIZE, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p
_BUFFER, _TEXTS = ctypes.POINTER(_Buffer), ctypes.POINTER(ctypes.c_char_p)
_SHAPE, _OUTPUTS, _TENSORS = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(_Output), ctypes.POINTER(ctypes.c_void_p)

# What each function gives, and what it takes (tensorflow/c/c_api.h of 1.15)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_NewStatus": (_VOID, []),
    "TF_DeleteStatus": (None, [_VOID]),
    "TF_GetCode": (_INT, [_VOID]),
    "TF_Message": (_TEXT, [_VOID]),
    "TF_NewGraph": (_VOID, []),
    "TF_NewBufferFromString": (_BUFFER, [_TEXT, _SIZE]),
    "TF_DeleteBuffer": (None, [_BUFFER]),
    "TF_NewImportGraphDefOptions": (_VOID, []),
    "TF_DeleteImportGraphDefOptions": (None, [_VOID]),
    "TF_GraphImportGraphDef": (None, [_VOID, _BUFFER, _VOID, _VOID]),
    "TF_GraphOperationByName": (_VOID, [_VOID, _TEXT]),
    "TF_NewSessionOptions": (_VOID, []),
    "TF_DeleteSessionOptions": (None, [_VOID]),
    "TF_NewSession": (_VOID, [_VOID, _VOID, _VOID]),
    "TF_LoadSessionFromSavedModel": (_VOID, [_VOID, _VOID, _TEXT, _TEXTS, _INT, _VOID, _BUFFER, _VOID]),
    "TF_SessionRun": (
        None,
        [_VOID, _VOID, _OUTPUTS, _TENSORS, _INT, _OUTPUTS, _TENSORS, _INT, _TENSORS, _INT, _VOID, _VOID],
    ),
    "TF_AllocateTensor": (_VOID, [_INT, _SHAPE, _INT, _SIZE]),
    "TF_DeleteTensor": (None, [_VOID]),
    "TF_TensorType": (_INT, [_VOID]),
    "TF_NumDims": (_INT, [_VOID]),
    "TF_Dim": (ctypes.c_int64, [_VOID, _INT]),
    "TF_TensorData": (_VOID, [_VOID]),
    "TF_TensorByteSize": (_SIZE, [_VOID]),
}


def open_graph(request: Mapping[str, Any]) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """Loads `path` with the shared libraries of the folder `libraries`; graph and session last as long as the process.

    Raises:
        RuntimeError: TensorFlow 1.15 cannot import the file; the function given raises it where it cannot run it.
    """
    library = _load(request["libraries"])
    graph = library.TF_NewGraph()
    opened = _import_graph if request["format"] == "pb" else _load_saved_model
    session = opened(library, graph, os.fsencode(request["path"]))
    fed = _operations(library, graph, [request["input"]])
    wanted = _operations(library, graph, request["outputs"])

    def run(images: NDArray[Any]) -> Sequence[NDArray[Any]]:
        count = len(wanted)
        fetched = (ctypes.c_void_p * count)()
        with _tensor(library, images) as tensor, _checked(library) as status:
            tensors = (ctypes.c_void_p * 1)(tensor)
            library.TF_SessionRun(session, None, fed, tensors, 1, wanted, fetched, count, None, 0, None, status)
        return [_taken(library, value) for value in fetched]

    return run


def _load(folder: str) -> Any:
    """Loads what the main library needs first, each for all: Python's extension module asks for a symbol of 3.7."""
    names = ("libshim.so", "libtensorflow_framework.so.1", "_pywrap_tensorflow_internal.so")
    *_, library = [ctypes.CDLL(os.path.join(folder, name), os.RTLD_GLOBAL | os.RTLD_LAZY) for name in names]  # noqa: PTH118
    for name, (gives, takes) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = gives, takes
    return library


@contextmanager
def _checked(library: Any) -> Iterator[Any]:
    """Gives a status for one call, and raises what it says."""
    status = library.TF_NewStatus()
    try:
        yield status
        if library.TF_GetCode(status):
            raise RuntimeError(library.TF_Message(status).decode(errors="replace"))
    finally:
        library.TF_DeleteStatus(status)


def _import_graph(library: Any, graph: Any, path: bytes) -> Any:
    with open(path, "rb") as file:
        data = file.read()
    buffer, options = library.TF_NewBufferFromString(data, len(data)), library.TF_NewImportGraphDefOptions()
    try:
        with _checked(library) as status:
            library.TF_GraphImportGraphDef(graph, buffer, options, status)
    finally:
        library.TF_DeleteImportGraphDefOptions(options)
        library.TF_DeleteBuffer(buffer)
    return _session(library, lambda options, status: library.TF_NewSession(graph, options, status))


def _load_saved_model(library: Any, graph: Any, path: bytes) -> Any:
    tags = (ctypes.c_char_p * 1)(b"serve")
    load = library.TF_LoadSessionFromSavedModel
    return _session(library, lambda options, status: load(options, None, path, tags, 1, graph, None, status))


def _session(library: Any, made: Callable[[Any, Any], Any]) -> Any:
    options = library.TF_NewSessionOptions()
    try:
        with _checked(library) as status:
            return made(options, status)
    finally:
        library.TF_DeleteSessionOptions(options)


def _operations(library: Any, graph: Any, names: Sequence[str]) -> Any:
    """Gives a C array of the first output of each operation."""
    found = {name: library.TF_GraphOperationByName(graph, name.encode()) for name in names}
    missing = [name for name, operation in found.items() if not operation]
    if missing:
        raise RuntimeError(f"the graph has no operation {', '.join(missing)}")
    return (_Output * len(names))(*[_Output(found[name], 0) for name in names])


@contextmanager
def _tensor(library: Any, images: NDArray[Any]) -> Iterator[Any]:
    """Gives a tensor that holds a copy of the images."""
    images = np.ascontiguousarray(images)
    shape = (ctypes.c_int64 * images.ndim)(*images.shape)
    kind = {"float32": _FLOAT32, "uint8": _UINT8}[images.dtype.name]
    tensor = library.TF_AllocateTensor(kind, shape, images.ndim, images.nbytes)
    try:
        ctypes.memmove(library.TF_TensorData(tensor), images.ctypes.data, images.nbytes)
        yield tensor
    finally:
        library.TF_DeleteTensor(tensor)


def _taken(library: Any, tensor: Any) -> NDArray[np.float32]:
    """Gives a copy of a tensor's values, and frees it."""
    try:
        if library.TF_TensorType(tensor) != _FLOAT32:
            raise RuntimeError(f"an output is of type {library.TF_TensorType(tensor)}, expected float32 ({_FLOAT32})")
        shape = [library.TF_Dim(tensor, axis) for axis in range(library.TF_NumDims(tensor))]
        data = ctypes.string_at(library.TF_TensorData(tensor), library.TF_TensorByteSize(tensor))
        return np.frombuffer(data, np.float32).reshape(shape)
    finally:
        library.TF_DeleteTensor(tensor)
