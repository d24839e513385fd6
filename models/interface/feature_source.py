"""What a user means by RUN|BACKBONE of `facet features`, and the model and the data that it makes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.hashing import hash_integer
from hdf5_helper.images.fit import Size
from hdf5_helper.progress import Say
from hdf5_helper.reading.reader import HDF5Reader
from models.backbones.registry import BACKBONES, backbone_named, known_backbone
from models.description import ModelDescription
from models.interface.targets import SUFFIXES, Target, find_target
from models.model_data import open_for
from models.training.runs import run_names
from models.weights import WeightsFile, check_architecture, load_backbone_weights, preprocessing_for, read_weights_file

#: Training images that an untrained backbone's BatchNormalization is measured on, as at the start of a training.
_MEASURED = 128


@dataclass(frozen=True)
class BackboneSource:
    """A backbone of the registry with weights.

    Attributes:
        backbone: its name.
        weights: `imagenet`, `none` or a file's path.
        arguments: of the backbone's builder.
        image_size: (height, width) in pixels, None for the data file's own, else the backbone's.
        file: what the sidecar of a weights file says, None for `imagenet` and `none`.
    """

    backbone: str
    weights: str
    arguments: dict[str, Any] = field(default_factory=dict)
    image_size: Size | None = None
    file: WeightsFile | None = None


@dataclass(frozen=True)
class SourceModel:
    """A model whose backbone gives features, and the data opened for it.

    Attributes:
        model: keras.Model on float32 RGB 0–255 (N, H, W, 3), its backbone a nested model.
        description: of it.
        weights: where they come from, in a word: `imagenet`, `none` or a file's name.
        reader: images at the model's size.
    """

    model: Any
    description: ModelDescription
    weights: str
    reader: HDF5Reader


def find_source(
    text: str,
    weights: str | None = None,
    checkpoint: str = "best",
    image_size: Size | None = None,
    arguments: dict[str, Any] | None = None,
) -> Target | BackboneSource:
    """Finds what gives the features: `--weights` makes `text` a backbone; else a model file and a run come first.

    Args:
        text: a run's name, a `.keras` or `.h5` file, or a backbone's name.
        weights: of a backbone: `imagenet`, `none` or a file; None for a run or a model file.
        checkpoint: of a run.
        image_size: of a backbone.
        arguments: of a backbone; None for those that the sidecar of its weights says.

    Raises:
        FacetError: nothing of that name, or an option that does not go with it.
    """
    if weights is not None:
        if checkpoint != "best":
            raise FacetError(f"--checkpoint {checkpoint}: goes with a run, {text} with --weights is a backbone")
        return _backbone(text, weights, image_size, arguments)
    _check_name(text)
    found = find_target(text, checkpoint)
    if found.is_frozen_graph:
        raise FacetError(f"{text}: is a frozen graph without layers, expected a run, a .keras file or a backbone")
    for option, value in (("--image-size", image_size), ("--set backbone_arguments", arguments)):
        if value is not None:
            raise FacetError(f"{option}: goes with a backbone, {text} is a trained model with one of its own")
    return found


def _backbone(name: str, weights: str, image_size: Size | None, arguments: dict[str, Any] | None) -> BackboneSource:
    backbone = backbone_named(name)
    if weights in ("none", "imagenet"):
        return BackboneSource(backbone.name, weights, arguments or {}, image_size)
    file = read_weights_file(Path(weights))
    check_architecture(file, backbone.name)
    given = dict(file.arguments) if arguments is None else arguments
    return BackboneSource(backbone.name, weights, given, image_size, file)


def _check_name(text: str) -> None:
    """Refuses a name that nothing has, and a backbone without weights."""
    runs = run_names()
    if text in runs or Path(text).exists() or Path(text).suffix in SUFFIXES:
        return
    backbone = known_backbone(text)
    if backbone is None:
        raise FacetError(f"{text!r}: is no run and no backbone, {did_you_mean(text, [*runs, *BACKBONES])}")
    expected = f"none or a Keras weights file, as of {backbone.weights_at}"
    if not backbone.weights_at:
        expected = "imagenet, none or a Keras weights file"
    raise FacetError(f"--weights: none given for backbone {text}, expected {expected}")


def load_source(source: Target | BackboneSource, data: Path, say: Say) -> SourceModel:
    """Loads the model and opens the data at its image size; who calls closes the reader.

    Args:
        source: as `find_source` gives it.
        data: the packed file.
        say: told what weights without a sidecar are taken to want.

    Raises:
        FacetError: a file that cannot be read, or weights that do not fit.
    """
    if isinstance(source, BackboneSource):
        return _build(source, data, say)
    from models.model_file import load_model_file

    model, description = load_model_file(source.path)
    if not all(description.image_size):
        raise FacetError(f"{source.path}: the model takes images of any size, expected one of a fixed size")
    return SourceModel(model, description, source.path.name, open_for(description, data))


def _build(source: BackboneSource, data: Path, say: Say) -> SourceModel:
    """Builds a backbone, as a training would before its first step, with a head that nobody asks."""
    from models.backbones.building import build_backbone
    from models.calibration import measure_batch_normalization
    from models.heads.choosing import heads_for
    from models.network import HeadShape, build_network

    reader = _open(source, data)
    try:
        preprocessing = preprocessing_for(source.backbone, source.file)
        if source.file is not None and source.file.preprocessing is None:
            wants = preprocessing.in_words()
            say(f"{source.weights} has no sidecar: taking {source.backbone}'s own preprocessing, {wants}")
        base = build_backbone(source.backbone, _size(reader), source.arguments, hash_integer(0, 1))
        load_backbone_weights(base, source.weights, source.backbone, source.arguments)
        heads = heads_for(("gender",))
        model = build_network(base, preprocessing, heads, HeadShape(units=()), 0)
        if source.weights == "none":
            measure_batch_normalization(model, _images(reader))
    except BaseException:
        reader.close()
        raise
    seen = source.file.trained_on if source.file else ""
    description = ModelDescription(
        outputs=tuple(head.output for head in heads),
        image_size=_size(reader),
        fit=reader.fit,
        backbone=source.backbone,
        preprocessing=preprocessing,
        notes=(f"backbone weights trained on: {seen}",) if seen else (),
    )
    return SourceModel(model, description, source.file.path.name if source.file else source.weights, reader)


def _open(source: BackboneSource, data: Path) -> HDF5Reader:
    reader = HDF5Reader(data, image_size=source.image_size)
    if reader.image_size is not None:
        return reader
    reader.close()
    side = backbone_named(source.backbone).size
    return HDF5Reader(data, image_size=(side, side))


def _size(reader: HDF5Reader) -> Size:
    if reader.image_size is None:
        raise FacetError(f"{reader.path}: holds images of many sizes, expected --image-size")
    return reader.image_size


def _images(reader: HDF5Reader) -> Any:
    """Gives the first images of the train split, or of the file where there is none, uint8 (n, H, W, 3)."""
    rows = reader.split("train")
    return images_of(reader, (rows if len(rows) else range(len(reader)))[:_MEASURED])


def images_of(reader: HDF5Reader, rows: object) -> Any:
    """Gives images of a file, uint8 (n, H, W, 3), channels last whatever the file says."""
    images = reader.read(rows)
    return images.transpose(0, 2, 3, 1) if reader.attributes.get("channels_first") else images
