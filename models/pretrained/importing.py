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
from models.pretrained.targets import abstract_network, is_plain_chain, targets_of
from models.weights import sidecar_of

SUFFIX = ".weights.h5"

#: Arguments of all that a published file holds but its classifier; a run takes the layers that it needs.
_WHOLE = {"vggface": {"output": "fc7"}}

#: Networks of which weights were published in Caffe's tradition: BGR minus a mean, 0-255.
_CAFFE_S = ("vggface", "vgg16", "vgg19", "resnet50")

#: Behind what the file does not say, and no option.
_ASSUMED = ", which is assumed of such files: --color, --mean and --scale say otherwise"


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
        leave_out: shell patterns over the names of the file's layers that are not to be taken, such as `dense*`.
        overwrite: whether weights and sidecar may be there already.
    """

    source: Path
    out: Path
    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing | None = None
    licence: str = ""
    trained_on: str = ""
    leave_out: tuple[str, ...] = ()
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuses a place where nothing can or may be written."""
        if not self.out.name.endswith(SUFFIX):
            raise FacetError(f"{self.out}: expected a name that ends in {SUFFIX}, which Keras reads")
        if not self.out.parent.is_dir():
            raise FacetError(f"{self.out}: {self.out.parent} is no folder, expected one that exists")
        for path in (self.out, sidecar_of(self.out)):
            if path.exists() and (not self.overwrite or not path.is_file()):
                raise FacetError(f"{path}: exists already, expected another name, or --overwrite of a file")
        if self.out.exists() and self.out.samefile(self.source):
            raise FacetError(f"{self.out}: is the file that is imported, expected another name")
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
    holds = _WHOLE.get(backbone.name, {})
    form, everything = read_arrays(wanted.source)
    found, unwanted = everything.without(wanted.leave_out)
    preprocessing = wanted.preprocessing or usual_preprocessing(backbone, form, found)
    model = abstract_network(backbone, holds | wanted.arguments)
    try:
        fit = match(found, targets_of(model), plain_chain=is_plain_chain(model))
    except FacetError as error:
        raise FacetError(f"{wanted.source}: does not fit {backbone.name}: {error}") from None
    _tell(wanted, found, fit, say)
    _tell_left_out(fit.left_out, unwanted, found, say)
    known = wanted.preprocessing or found.rgb_mean
    say(f"images will be seen as {preprocessing.in_words()}{'' if known else _ASSUMED}")
    told = _sidecar(wanted, holds, preprocessing, found)
    _write(wanted.out, model, fit, told)
    return told


def _write(out: Path, model: Any, fit: Match, told: dict[str, Any]) -> None:
    """Writes weights, then the sidecar; at no time are there weights beside what was said of others."""
    sidecar = sidecar_of(out)
    with written_whole(sidecar) as beside:
        beside.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        with written_whole(out) as part:
            write_keras_weights(model, fit.arrays, part)
            sidecar.unlink(missing_ok=True)


def usual_preprocessing(backbone: Backbone, form: Format, found: NamedArrays) -> Preprocessing:
    """Gives what published weights of a format want to see.

    Keras's and, of VGG and ResNet50, Caffe's and Torch7's see the backbone's own. MatConvNet's see RGB minus the mean
    in the file (https://www.vlfeat.org/matconvnet/pretrained/), and so does VGG-Face in PyTorch, which was converted
    from it (https://www.robots.ox.ac.uk/~albanie/pytorch-models.html); torchvision's see its normalised RGB.

    Raises:
        FacetError: nobody knows; it asks for the options that say it.
    """
    own, in_tradition = backbone.preprocessing, backbone.name in _CAFFE_S
    if form.key == "keras_h5" or (form.key in ("caffe", "torch7") and in_tradition):
        return own
    from_matconvnet = form.key == "matconvnet" or backbone.name == "vggface"
    if from_matconvnet and in_tradition:
        return Preprocessing("RGB", found.rgb_mean or own.rgb_mean, 1.0)
    if form.key in ("pytorch", "safetensors") and found.kernel_axes == "OIHW":
        return TORCHVISION
    raise FacetError(f"--color, --mean: none given, and what {found.form} weights of {backbone.name} see differs")


def _tell(wanted: Import, found: NamedArrays, fit: Match, say: Say) -> None:
    values = sum(array.size for array in fit.arrays.values())
    how = "in the order of its layers" if fit.by_order else "by name"
    say(f"{wanted.source}: {found.form}, {values:,} values in {len(fit.arrays)} arrays, found {how}")


def _tell_left_out(classifier: tuple[str, ...], unwanted: tuple[str, ...], found: NamedArrays, say: Say) -> None:
    places = "" if found.named else "layer "
    for why, names in (("its classifier is left out", classifier), ("left out as asked", unwanted)):
        if names:
            say(f"{why}: {', '.join(f'{places}{name}' for name in names)}")


def _sidecar(wanted: Import, holds: dict[str, Any], preprocessing: Preprocessing, found: NamedArrays) -> dict[str, Any]:
    with open(wanted.source, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "architecture": wanted.architecture,
        "arguments": wanted.arguments,
        "holds": holds | wanted.arguments if holds else {},
        "preprocessing": preprocessing.to_dict(),
        "source": {"file": wanted.source.name, "format": found.form, "sha256": sha256},
        "licence": wanted.licence,
        "trained_on": wanted.trained_on,
    }
