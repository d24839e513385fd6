"""The sidecar: `OUT.json` beside `OUT.pb`, everything that a program or a person must know to use the file."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from models.description import ModelDescription
from models.export.options import ExportOptions
from models.export.parity import RuntimeParity
from models.export.signature import GraphInput, GraphOutput, Signature
from models.preprocessing import Preprocessing

#: What the file says it is; the version rises when a field changes its meaning.
FORMAT, FORMAT_VERSION = "facet export", 1


@dataclass(frozen=True)
class Sidecar:
    """What is known of an exported file.

    Attributes:
        file: its name.
        sha256: of the file, or of a SavedModel's one file, hex.
        signature: input and outputs of the graph.
        description: of the model that the graph was made of.
        options: how it was asked for: format, quantization, preset, and whether it takes RGB 0–255 (`inside`) or the
            caller does `signature.input`'s part (`outside`).
        parity: differences from the Keras model, by runtime.
        compared_on: which images those were measured on.
        facet: version of Facet that wrote it.
    """

    file: str
    sha256: str
    signature: Signature
    description: ModelDescription
    options: ExportOptions
    parity: tuple[RuntimeParity, ...] = ()
    compared_on: str = ""
    facet: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form: what a caller needs comes first."""
        told = self.description.to_dict()
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "facet": self.facet,
            "file": self.file,
            "sha256": self.sha256,
            "file_format": self.options.file_format,
            "quantization": self.options.quantization,
            "preset": self.options.preset,
            "input": self.signature.input.to_dict(),
            "outputs": [output.to_dict() for output in self.signature.outputs],
            "preprocessing": self.options.preprocessing,
            "image_size": list(self.description.image_size),
            "fit": self.description.fit,
            "backbone": self.description.backbone,
            "backbone_preprocessing": told["preprocessing"],
            "run": self.description.run,
            "images_digest": self.description.images_digest,
            "index_digest": self.description.index_digest,
            "fold": self.description.fold,
            "notes": list(self.description.notes),
            "parity": [result.to_dict() for result in self.parity],
            "compared_on": self.compared_on,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Sidecar":
        """Reads the JSON form."""
        signature = Signature(
            GraphInput.from_dict(values["input"]), tuple(GraphOutput.from_dict(output) for output in values["outputs"])
        )
        height, width = values["image_size"]
        description = ModelDescription(
            outputs=tuple(output.output for output in signature.outputs),
            image_size=(height, width),
            fit=values["fit"],
            backbone=values["backbone"],
            preprocessing=Preprocessing.from_dict(values["backbone_preprocessing"]),
            run=values["run"],
            images_digest=values["images_digest"],
            index_digest=values["index_digest"],
            fold=int(values.get("fold", -1)),  # files of earlier versions have none
            notes=tuple(values["notes"]),
        )
        parity = tuple(RuntimeParity.from_dict(result) for result in values["parity"])
        options = ExportOptions(
            values["file_format"],
            values["preprocessing"],
            signature.input.dtype,
            values["quantization"],
            values["preset"],
        )
        told = (options, parity, values["compared_on"], values["facet"])
        return cls(values["file"], values["sha256"], signature, description, *told)

    def to_json(self) -> str:
        """Gives the file's text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def sidecar_path(exported: Path) -> Path:
    """Gives where the sidecar lies: `NAME.json` beside `NAME.pb`, `NAME.onnx.json` beside `NAME.onnx`.

    Beside a SavedModel's folder `NAME` it is `NAME.saved_model.json`: one model in several formats has room in one
    folder so.
    """
    if exported.suffix == ".pb":
        return exported.with_suffix(".json")
    ending = ".json" if exported.suffix in (".onnx", ".tflite") else ".saved_model.json"
    return exported.with_name(f"{exported.name}{ending}")


def facet_version() -> str:
    """Gives the installed version of Facet."""
    return version("facet")


def sha256_of(data: bytes) -> str:
    """Gives the SHA-256 of a file's bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def read_sidecar(graph: Path, data: bytes) -> Sidecar | None:
    """Gives the sidecar of a graph, or None where there is none.

    Args:
        graph: path of the `.pb`.
        data: its bytes.

    Raises:
        FacetError: the sidecar is damaged, is no sidecar, or belongs to another graph.
    """
    path = sidecar_path(graph)
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise FacetError(f"{path}: not JSON, expected the sidecar of {graph.name}") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise FacetError(f"{path}: not a sidecar that Facet wrote, move it away or export {graph.name} again")
    try:
        found = int(values["format_version"])
        sidecar = Sidecar.from_dict(values) if found <= FORMAT_VERSION else None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, FacetError) as error:
        raise FacetError(f"{path}: damaged sidecar ({type(error).__name__}: {error}), export again") from None
    if sidecar is None:
        raise FacetError(f"{path}: format version {found}, this Facet reads up to {FORMAT_VERSION}")
    if sidecar.sha256 != sha256_of(data):
        raise FacetError(f"{path}: describes another graph than {graph.name} (SHA-256 differs), export again")
    return sidecar
