"""Export: freeze, write beside the final name, run in every runtime, and only then keep the file and its sidecar."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from hdf5_helper.atomic import folder_made
from hdf5_helper.errors import FacetError
from hdf5_helper.together import made_together
from models.description import ModelDescription
from models.export.age_estimator_sharp import MEAN_FILE, SharpModel, for_age_estimator_sharp
from models.export.examples import Examples, made_up_examples
from models.export.formats import SUFFIXES
from models.export.frozen_graph import FrozenModel, freeze
from models.export.options import ExportOptions
from models.export.parity import (
    Comparison,
    Values,
    chosen_runtimes,
    keras_reference,
    measure_parity,
    refuse_differences,
)
from models.export.sidecar import Sidecar, facet_version, sha256_of, sidecar_path
from models.export.writing import write_format
from models.model_file import load_model_file


@dataclass(frozen=True)
class Exported:
    """What an export gives.

    Attributes:
        path: of the file, or of a SavedModel's folder; its sidecar lies beside it.
        size: of the file in bytes.
        sidecar: what was written there.
        comparison: the sidecar's figures, with times.
    """

    path: Path
    size: int
    sidecar: Sidecar
    comparison: Comparison

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form: path, size, sidecar and times."""
        times = [
            {"runtime": p.runtime, "seconds_one": p.seconds_one, "seconds_64": p.seconds_many}
            for p in self.comparison.runtimes
        ]
        return {"path": str(self.path), "bytes": self.size, "sidecar": self.sidecar.to_dict(), "times": times}


@dataclass(frozen=True)
class _Prepared:
    """A graph that waits to be written: what the model itself gives, and what else goes beside the file."""

    frozen: FrozenModel
    description: ModelDescription
    reference: Callable[[NDArray[Any]], Values]
    beside: dict[str, str]


def check_export_path(out: Path, options: ExportOptions, *, overwrite: bool) -> None:
    """Refuses a place where nothing can be written, before any work.

    Raises:
        FacetError: another suffix than the format's, no such folder, or files that would be replaced.
    """
    suffix = SUFFIXES[options.file_format]
    if suffix and out.suffix != suffix:
        raise FacetError(f"{out}: expected a file name that ends in {suffix}")
    if not out.name:
        raise FacetError(f"{out}: expected the name of a new folder")
    if not out.parent.is_dir():
        raise FacetError(f"{out}: the folder {out.parent} does not exist")
    paths = _paths(out, options)
    if len(set(paths)) < len(paths):
        raise FacetError(f"{out}: its sidecar would be called {MEAN_FILE} as the means are, expected another name")
    for path in (sidecar_path(out), out):
        if path.exists() and not overwrite:
            raise FacetError(f"{path}: exists already, expected a new name or --overwrite")
        foreign = sorted(p.name for p in path.iterdir() if p.name != "saved_model.pb") if path.is_dir() else []
        if foreign:
            raise FacetError(f"{path}: a folder that holds {foreign[0]}, expected a new name")


def export_model(
    model: Any,
    description: ModelDescription,
    out: str | Path,
    options: ExportOptions | None = None,
    *,
    examples: Examples | None = None,
    calibration: Examples | None = None,
    overwrite: bool = False,
) -> Exported:
    """Writes a model for other programs, with a sidecar beside it, if it computes the same as the model.

    Args:
        model: keras.Model on float32 RGB 0–255 (N, H, W, 3).
        description: of the model.
        out: path that ends as the format's files do; a folder's for `saved_model`.
        options: format and form; a frozen graph `.pb` by default.
        examples: images to compare on; made-up ones by default.
        calibration: images that `int8` finds its ranges on; `examples` by default.
        overwrite: replace files of these names.

    Raises:
        FacetError: a place that cannot be written, a model that cannot be exported, or a file that computes something
            else in a runtime; nothing is kept then.
    """
    out, options = Path(out), options or ExportOptions()
    check_export_path(out, options, overwrite=overwrite)
    runtimes = chosen_runtimes(options.file_format, options.verify_with)
    prepared = _prepare(model, description, options)
    _check_beside(out, prepared.beside)
    signature = prepared.frozen.signature
    examples = examples or made_up_examples(signature.input.image_size)
    with made_together(_paths(out, options)) as folder:
        held = (calibration or examples).images if options.quantization == "int8" else None
        file = write_format(prepared.frozen, folder / out.name, options, held)
        comparison = measure_parity(folder / out.name, signature, prepared.reference, examples.images, runtimes)
        refuse_differences(str(out), comparison.runtimes, options.needed, options.quantization)
        sidecar = Sidecar(
            file=out.name,
            sha256=sha256_of(file.read_bytes()),
            signature=signature,
            description=prepared.description,
            options=options,
            parity=comparison.runtimes,
            compared_on=examples.source,
            facet=facet_version(),
        )
        for name, text in {**prepared.beside, sidecar_path(out).name: sidecar.to_json()}.items():
            (folder / name).write_text(text, encoding="utf-8")
        size = file.stat().st_size
    return Exported(out, size, sidecar, comparison)


def _paths(out: Path, options: ExportOptions) -> list[Path]:
    """Gives all that an export writes; the file itself comes last."""
    beside = [out.with_name(MEAN_FILE)] if options.preset else []
    return [*beside, sidecar_path(out), out]


def _check_beside(out: Path, beside: dict[str, str]) -> None:
    """Refuses to change the means that another graph in the folder is fed with."""
    for name, text in beside.items():
        path = out.with_name(name)
        if path.exists() and not out.exists() and path.read_text(encoding="utf-8") != text:
            raise FacetError(f"{path}: holds other means than this model's, expected another folder for {out.name}")


def _prepare(model: Any, description: ModelDescription, options: ExportOptions) -> _Prepared:
    if options.preset:
        return _prepare_sharp(for_age_estimator_sharp(model, description))
    frozen = freeze(model, description, options.preprocessing, options.input_type)
    return _Prepared(frozen, description, lambda images: keras_reference(model, description, images), {})


def _prepare_sharp(sharp: SharpModel) -> _Prepared:
    def reference(images: NDArray[Any]) -> Values:
        return sharp.reference(keras_reference(sharp.source, sharp.source_description, images))

    return _Prepared(sharp.freeze(), sharp.description, reference, {MEAN_FILE: sharp.mean_json()})


def convert_h5_to_pb(h5_path: str | Path, output_dir: str | Path, output_name: str) -> Path:
    """Freezes a saved Keras model, as age_estimator_model's function of this name did.

    Args:
        h5_path: a Keras `.h5`, or a `.keras` file.
        output_dir: folder of the graph; made if it is not there.
        output_name: file name; `.pb` is added where it is missing. A file of that name is replaced.

    Returns:
        Path of the `.pb`; its sidecar lies beside it.
    """
    out = Path(output_dir) / (output_name if output_name.endswith(".pb") else f"{output_name}.pb")
    model, description = load_model_file(Path(h5_path))
    with folder_made(out.parent):
        return export_model(model, description, out, overwrite=True).path
