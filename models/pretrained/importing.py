"""Turns a weights file of another framework into Keras weights for a backbone, with a sidecar that says what it is."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import written_whole
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Say
from models.backbones.registry import TORCHVISION, Backbone, backbone_named
from models.preprocessing import Preprocessing
from models.pretrained.keras_weights import write_keras_weights
from models.pretrained.matching import Match, match
from models.pretrained.named_arrays import NamedArrays
from models.pretrained.reading import Format, read_arrays
from models.pretrained.targets import abstract_network, is_chain, targets_of
from models.weights import sidecar_of

SUFFIX = ".weights.h5"

#: All of VGG-Face that a file holds but its classifier; a run takes the layers that it needs.
_WHOLE = {"vggface": {"output": "fc7"}}


@dataclass(frozen=True)
class Import:
    """What is to be imported.

    Attributes:
        source: weights file of another framework.
        out: the file to write, `NAME.weights.h5`; `NAME.weights.h5.json` comes beside it.
        architecture: name of a backbone.
        arguments: of the backbone, such as `{"alpha": 0.5}`.
        preprocessing: what the weights want to see; None for what is known of such files.
        licence, trained_on: what is known of them, for the sidecar.
    """

    source: Path
    out: Path
    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    licence: str = ""
    trained_on: str = ""

    def __post_init__(self) -> None:
        """Refuses a name that Keras would not read."""
        if not self.out.name.endswith(SUFFIX):
            raise FacetError(f"{self.out}: expected a name that ends in {SUFFIX}, which Keras reads")
        backbone_named(self.architecture)


def import_weights(wanted: Import, say: Say) -> dict[str, Any]:
    """Reads a weights file, finds an array for each of the architecture's, and writes weights and sidecar.

    Args:
        wanted: what is to be imported.
        say: takes a sentence at a time.

    Returns:
        What the sidecar says.

    Raises:
        FacetError: the file cannot be read, or does not fit; nothing is written then.
    """
    backbone = backbone_named(wanted.architecture)
    arguments = _WHOLE.get(backbone.name, {}) | wanted.arguments
    form, found = read_arrays(wanted.source)
    model = abstract_network(backbone, arguments)
    try:
        fit = match(found, targets_of(model), chain=is_chain(model))
    except FacetError as error:
        raise FacetError(f"{wanted.source}: does not fit {backbone.name}: {error}") from None
    _tell(wanted, found, fit, say)
    preprocessing = wanted.preprocessing or usual_preprocessing(backbone, form, found)
    say(f"images will be seen as {preprocessing.in_words()}")
    told = _sidecar(wanted, arguments, preprocessing, found)
    with written_whole(wanted.out) as part, written_whole(sidecar_of(wanted.out)) as beside:
        write_keras_weights(model, fit.arrays, part)
        beside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def usual_preprocessing(backbone: Backbone, form: Format, found: NamedArrays) -> Preprocessing:
    """Gives what published weights of a format want to see.

    MatConvNet's networks see RGB minus the mean in the file (https://www.vlfeat.org/matconvnet/pretrained/).
    torchvision's see its normalised RGB; VGG-Face in PyTorch was converted from MatConvNet and sees what that sees
    (https://www.robots.ox.ac.uk/~albanie/pytorch-models.html). Caffe's, Torch7's and Keras's see the backbone's own.
    """
    own = backbone.preprocessing
    from_matlab = form.key == "matconvnet" or backbone.name == "vggface"
    if form.key in ("pytorch", "safetensors") and not from_matlab:
        return TORCHVISION
    if form.key in ("pytorch", "safetensors", "matconvnet"):
        return Preprocessing("RGB", found.rgb_mean or own.rgb_mean, 1.0)
    return own


def _tell(wanted: Import, found: NamedArrays, fit: Match, say: Say) -> None:
    values = sum(array.size for array in fit.arrays.values())
    how = "in the order of its layers" if fit.by_order else "by name"
    say(f"{wanted.source}: {found.form}, {values:,} values in {len(fit.arrays)} arrays, found {how}")
    if fit.left_out:
        places = "" if found.named else "layer "
        say(f"its classifier is left out: {', '.join(f'{places}{name}' for name in fit.left_out)}")


def _sidecar(
    wanted: Import, arguments: dict[str, Any], preprocessing: Preprocessing, found: NamedArrays
) -> dict[str, Any]:
    with open(wanted.source, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "architecture": wanted.architecture,
        "arguments": arguments,
        "preprocessing": preprocessing.to_dict(),
        "source": {"file": wanted.source.name, "format": found.form, "sha256": sha256},
        "licence": wanted.licence,
        "trained_on": wanted.trained_on,
    }
