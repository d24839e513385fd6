"""`facet benchmark export`: every backbone through every runtime, and the time of one image beside Keras's own."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import bars
from benchmarks import contenders as who
from benchmarks.export_models import SUBJECTS, Subject, learnt
from benchmarks.results import Measured, Result, absolute, compared
from benchmarks.rounds import Settings
from benchmarks.workload import prepare
from hdf5_helper.errors import FacetError
from hdf5_helper.reading.reader import HDF5Reader
from models.export.formats import SUFFIXES
from models.export.frozen_graph import FrozenModel, computing_in_float32, freeze
from models.export.options import ExportOptions
from models.export.parity import difference, keras_reference
from models.export.runtimes import RUNTIMES, OpenGraph, Runtime, RuntimeRefusal, opencv_by
from models.export.writing import write_format

#: Side of the images; how many the heads learn from, and how many files are compared on.
SIDE, COUNT = 150, 200

#: Which file each runtime is asked with.
FORMATS = {
    "tensorflow": "pb",
    "tensorflow1": "pb",
    "opencv": "pb",
    "onnxruntime": "onnx",
    "litert": "litert",
    bars.OPENCV_5: "pb",
}

MEASURES = tuple(
    measure
    for name in bars.EXPORTED
    for measure in (
        *(bars.export_difference(name, runtime.name) for runtime in RUNTIMES),
        bars.export_size(name),
        bars.export_speed(name),
    )
)

#: Single images a repeat, and images a batch of the comparison.
_SINGLES, _BATCH = 20, 16


@dataclass(frozen=True)
class Faces:
    """What heads learn from and files are compared on.

    Attributes:
        train, test: uint8 (n, SIDE, SIDE, 3), RGB.
        targets: `age` and `gender` of `train`.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    targets: dict[str, NDArray[Any]]


def measure_exporting(settings: Settings, data: Path | None) -> Iterator[list[Result]]:
    """Gives the results of exporting, backbone by backbone, as soon as they are there.

    Args:
        settings: `only` names backbones, `repeats` the rounds of the timing.
        data: a packed file with age and gender; without one, faces are drawn.

    Raises:
        FacetError: no such file, or a backbone that cannot be exported.
    """
    settings.check_only([subject.name for subject in SUBJECTS])
    faces = _faces(settings, data)
    for subject in SUBJECTS:
        if settings.wants(subject.name):
            yield _results(subject, faces, settings)


def _faces(settings: Settings, data: Path | None) -> Faces:
    if data is None:
        prepare(settings.work, max(settings.count, 4 * COUNT), settings.progress)
        data = settings.work / "encoded.h5"
    with HDF5Reader(data, image_size=(SIDE, SIDE)) as reader:
        missing = {"age", "gender"} - set(reader.label_names)
        if missing:
            raise FacetError(f"--data {data}: has no {' and '.join(sorted(missing))}, expected both")
        rows = reader.split("train")[:COUNT]
        targets = {label: reader.labels(label)[rows] for label in ("age", "gender")}
        return Faces(reader.read(rows), reader.read(reader.split("test")[:COUNT]), targets)


@dataclass(frozen=True)
class _Case:
    """One backbone: its graph, what is fed, and what Keras gives for it by output name."""

    name: str
    frozen: FrozenModel
    inputs: NDArray[Any]
    reference: dict[str, NDArray[np.float32]]


def _results(subject: Subject, faces: Faces, settings: Settings) -> list[Result]:
    """Gives the differences, the size, and the time of one image of one backbone."""
    settings.progress.start(subject.name, len(_runtimes(settings)) + settings.repeats)
    model, description = learnt(subject, SIDE, faces.train, faces.targets)
    frozen = freeze(model, description)
    inputs = frozen.signature.input.prepare(faces.test)
    case = _Case(subject.name, frozen, inputs, keras_reference(model, description, faces.test))
    results: list[Result] = []
    graphs: dict[str, OpenGraph] = {}
    with TemporaryDirectory(dir=settings.work) as folder, ExitStack() as stack:
        files = _written(frozen, Path(folder))
        for runtime in _runtimes(settings):
            graph, result = _compared(case, runtime, files[FORMATS[runtime.key]], stack)
            results.append(result)
            graphs |= {} if graph is None else {runtime.key: graph}
            settings.progress.advance(1)
        weights = sum(int(np.prod(variable.shape)) for variable in model.weights) * 4
        results.append(absolute(bars.export_size(subject.name), "×", [len(frozen.data) / weights]))
        results += _timed(case, model, graphs, settings)
    settings.progress.stop()
    return results


def _runtimes(settings: Settings) -> tuple[Runtime, ...]:
    """Gives all runtimes, OpenCV 5 among them where the folder of peers has it."""
    python = None if settings.peers is None else settings.peers / "opencv5" / "bin" / "python"
    if python is None or not python.exists():
        return RUNTIMES
    return (*RUNTIMES, replace(opencv_by(python), key=bars.OPENCV_5, name=bars.OPENCV_5))


def _written(frozen: FrozenModel, folder: Path) -> dict[str, Path]:
    """Writes all formats twice; gives the files by format."""
    files = {}
    for file_format in sorted(set(FORMATS.values())):
        path = folder / f"model{SUFFIXES[file_format]}"
        digests = set()
        for _ in range(2):
            write_format(frozen, path, ExportOptions(file_format), None)
            digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
        if len(digests) > 1:
            raise FacetError(f"{path.name}: two exports of one model differ, expected the same bytes")
        files[file_format] = path
    return files


def _compared(case: _Case, runtime: Runtime, path: Path, stack: ExitStack) -> tuple[OpenGraph | None, Result]:
    """Opens a file in a runtime and runs the test faces through it."""
    measure = bars.export_difference(case.name, runtime.name)
    if runtime.version() is None:
        return None, absolute(measure, "", (), f"absent: {runtime.how_to_get}")
    try:
        graph = stack.enter_context(runtime.open(path, case.frozen.signature))
        starts = range(0, len(case.inputs), _BATCH)
        parts = [graph.run(case.inputs[first : first + _BATCH]).values for first in starts]
    except RuntimeRefusal as refusal:
        return None, absolute(measure, "", (), f"refused: {refusal}")
    found = {key: np.concatenate([part[key] for part in parts]) for key in case.reference}
    return graph, absolute(measure, "", [difference(found, case.reference)])


def _timed(case: _Case, model: Any, graphs: dict[str, OpenGraph], settings: Settings) -> list[Result]:
    """Times one image in turns: each runtime, and the Keras model under tf.function."""
    import tensorflow as tf

    image = case.inputs[:1]
    with computing_in_float32(model):
        function = tf.function(lambda images: model(images, training=False), autograph=False)
        function(tf.constant(image))

    def keras_seconds() -> float:
        began = time.perf_counter()
        tf.nest.map_structure(lambda value: value.numpy(), function(tf.constant(image)))
        return time.perf_counter() - began

    rates: dict[str, list[float]] = {key: [] for key in (*graphs, "keras")}
    for _round in range(settings.repeats):
        for key, graph in graphs.items():
            rates[key].append(_rate([graph.run(image).seconds for _ in range(_SINGLES)]))
        rates["keras"].append(_rate([keras_seconds() for _ in range(_SINGLES)]))
        settings.progress.advance(1)
    own = [key for key in graphs if FORMATS[key] == "pb" and key != bars.OPENCV_5]
    fastest = max(own, key=lambda key: float(np.median(rates[key])))
    names = {runtime.key: f"{runtime.title}, {FORMATS[runtime.key]}" for runtime in _runtimes(settings)}
    others = [Measured(names[key], tuple(rates[key])) for key in graphs]
    facet = Measured("Facet", tuple(rates[fastest]))
    keras = Measured(who.KERAS_FUNCTION.name, tuple(rates["keras"]))
    return compared(bars.export_speed(case.name), "images/s", [facet, keras, *others])


def _rate(seconds: Sequence[float]) -> float:
    return 1 / float(np.median(seconds))
