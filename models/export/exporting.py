"""Export: freeze, compare, and only then write the graph and its sidecar."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import written_whole
from hdf5_helper.errors import FacetError
from models.description import ModelDescription
from models.export.examples import Examples, made_up_examples
from models.export.frozen_graph import FrozenModel, freeze
from models.export.parity import Comparison, keras_reference, measure_parity, refuse_differences
from models.export.sidecar import Sidecar, facet_version, sha256_of, sidecar_path
from models.model_file import load_model_file


@dataclass(frozen=True)
class Exported:
    """What an export gives.

    Attributes:
        path: of the `.pb`; its sidecar lies beside it.
        size: of the `.pb` in bytes.
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


def check_export_path(out: Path, *, overwrite: bool) -> None:
    """Refuses a place where no graph can be written, before any work.

    Raises:
        FacetError: another suffix than `.pb`, no such folder, or files that would be replaced.
    """
    if out.suffix != ".pb":
        raise FacetError(f"{out}: expected a file name that ends in .pb")
    if not out.parent.is_dir():
        raise FacetError(f"{out}: the folder {out.parent} does not exist")
    for path in (out, sidecar_path(out)):
        if path.exists() and not overwrite:
            raise FacetError(f"{path}: exists already, expected a new name or --overwrite")


def export_frozen_graph(
    model: Any,
    description: ModelDescription,
    out: str | Path,
    *,
    preprocessing: str = "inside",
    examples: Examples | None = None,
    overwrite: bool = False,
) -> Exported:
    """Writes a model as `OUT.pb` with `OUT.json` beside it, if it computes the same as the model.

    Args:
        model: keras.Model on float32 RGB 0–255 (N, H, W, 3).
        description: of the model.
        out: path that ends in `.pb`.
        preprocessing: `inside` or `outside`, see `models.export.frozen_graph.freeze`.
        examples: images to compare on; made-up ones by default.
        overwrite: replace files of these names.

    Raises:
        FacetError: a place that cannot be written, a model that cannot be frozen, or a graph that computes something
            else in a runtime; nothing is written then.
    """
    out = Path(out)
    check_export_path(out, overwrite=overwrite)
    frozen = freeze(model, description, preprocessing)
    examples = examples or made_up_examples(frozen.signature.input.image_size)
    comparison = measure_parity(frozen, lambda images: keras_reference(model, description, images), examples.images)
    refuse_differences(str(out), comparison.runtimes)
    sidecar = Sidecar(
        file=out.name,
        sha256=sha256_of(frozen.data),
        signature=frozen.signature,
        description=description,
        preprocessing=preprocessing,
        parity=comparison.runtimes,
        compared_on=examples.source,
        facet=facet_version(),
    )
    _write(out, frozen, sidecar)
    return Exported(out, len(frozen.data), sidecar, comparison)


def _write(out: Path, frozen: FrozenModel, sidecar: Sidecar) -> None:
    """Writes both files before either gets its name, so that a full disk leaves neither."""
    with written_whole(out) as graph_part, written_whole(sidecar_path(out)) as sidecar_part:
        graph_part.write_bytes(frozen.data)
        sidecar_part.write_text(sidecar.to_json(), encoding="utf-8")


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
    out.parent.mkdir(parents=True, exist_ok=True)
    return export_frozen_graph(model, description, out, overwrite=True).path
