"""Programs that run a written file, opened from it alone; all but TensorFlow 2 in processes of their own."""

import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from hdf5_helper.cores import available_cores
from models.export import tensorflow_1
from models.export.runtimes.child import PROGRAMS, open_in_child
from models.export.runtimes.runtime import (
    Answer,
    OpenGraph,
    Runtime,
    RuntimeRefusal,
    installed_version,
)
from models.export.runtimes.tensorflow_2 import loaded_in_tensorflow
from models.export.signature import Signature

__all__ = [
    "RUNTIMES",
    "Answer",
    "OpenGraph",
    "Runtime",
    "RuntimeRefusal",
    "opencv_by",
]


def _in_opencv(path: Path, signature: Signature, python: str = sys.executable) -> AbstractContextManager[OpenGraph]:
    return open_in_child(PROGRAMS / "run_opencv.py", path, signature, python=python)


def _in_onnxruntime(path: Path, signature: Signature) -> AbstractContextManager[OpenGraph]:
    return open_in_child(PROGRAMS / "run_onnxruntime.py", path, signature)


def _in_litert(path: Path, signature: Signature) -> AbstractContextManager[OpenGraph]:
    return open_in_child(PROGRAMS / "run_litert.py", path, signature, threads=available_cores())


def _in_tensorflow_1(path: Path, signature: Signature) -> AbstractContextManager[OpenGraph]:
    libraries = str(tensorflow_1.folder())
    return open_in_child(PROGRAMS / "run_tensorflow_1.py", path, signature, libraries=libraries)


def _opencv_version() -> str | None:
    version = installed_version("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless")
    return version and ".".join(version.split(".")[:3])  # the fourth number counts the package's builds


def opencv_by(python: Path) -> Runtime:
    """Gives the OpenCV of another virtual environment, which needs numpy beside it.

    Args:
        python: that environment's Python.
    """

    @cache
    def version() -> str | None:
        command = [str(python), "-c", "import cv2; print(cv2.__version__)"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    return replace(
        _OPENCV,
        version=version,
        how_to_get=f"`{python} -m pip install numpy opencv-python-headless` installs it",
        load=partial(_in_opencv, python=str(python)),
    )


_OPENCV = Runtime("opencv", "OpenCV", ("pb", "onnx"), _opencv_version, "`make setup` installs it", _in_opencv)

#: All runtimes, in the order in which they are shown.
RUNTIMES = (
    Runtime(
        "tensorflow",
        "TensorFlow",
        ("pb", "saved_model"),
        lambda: installed_version("tensorflow", "tensorflow-cpu"),
        "`make setup` installs it",
        loaded_in_tensorflow,
    ),
    Runtime(
        "tensorflow1",
        "TensorFlow 1.15",
        ("pb", "saved_model"),
        lambda: tensorflow_1.VERSION if tensorflow_1.installed() else None,
        f"`facet doctor --fetch tensorflow-1.15` fetches it ({tensorflow_1.DOWNLOAD_BYTES // 10**6} MB)",
        _in_tensorflow_1,
        family="TensorFlow",
    ),
    _OPENCV,
    Runtime(
        "onnxruntime",
        "ONNX Runtime",
        ("onnx",),
        lambda: installed_version("onnxruntime", "onnxruntime-gpu"),
        "`pip install -e '.[onnx]'` installs it",
        _in_onnxruntime,
    ),
    Runtime(
        "litert",
        "LiteRT",
        ("litert",),
        lambda: installed_version("ai-edge-litert"),
        "`pip install -e '.[litert]'` installs it",
        _in_litert,
    ),
)
