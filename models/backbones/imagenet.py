"""Keras's ImageNet weights: downloaded once, and the same file ever after."""

import contextlib
import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from models.backbones.building import without_preprocessing
from models.backbones.registry import Backbone, backbone_named


def load_imagenet(model: Any, name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Copies Keras's ImageNet weights into a backbone, downloading them once.

    Keras compares most of its files with a checksum of its own. Here the SHA-256 of each is written beside it as
    `FILE.sha256` when it is first used, and compared at every later use.

    Args:
        model: as `build_backbone` gives it.
        name: of the backbone.
        image_size: (height, width) in pixels.
        arguments: the backbone's arguments.

    Raises:
        FacetError: Keras has no such weights, there is no network, or the file has changed; it says which file to put
            where.
    """
    backbone = backbone_named(name)
    if backbone.builder:
        raise FacetError(
            f"weights imagenet: Keras has none for {backbone.name}, expected --weights FILE; get {backbone.weights_at},"
            f" then {_import_command(backbone)}"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), _files_checked():
            warnings.simplefilter("ignore")  # that weights of 224 pixels see images of another size: they often do here
            trained = backbone.build("imagenet", image_size, arguments)
    except FacetError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises bare Exception and others here
        raise FacetError(_refusal(str(error), backbone)) from None
    model.set_weights(without_preprocessing(trained).get_weights())


def _import_command(backbone: Backbone) -> str:
    return f"facet import-weights FILE OUT.weights.h5 --architecture {backbone.name}"


def _refusal(reason: str, backbone: Backbone) -> str:
    found = re.search(r"https?://\S+?\.h5", reason)
    if found is None:
        first = reason.splitlines()[0] if reason else ""
        return (
            f"weights imagenet: Keras has none for {backbone.name} in this form, expected --weights FILE, or a"
            f" published file through {_import_command(backbone)} ({first})"
        )
    place = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / found[0].rsplit("/", 1)[1]
    missing = f"{found[0]} cannot be downloaded, expected that very file at {place}"
    return f"weights imagenet: {missing} (or give --weights FILE)"


@contextlib.contextmanager
def _files_checked() -> Iterator[None]:
    """Compares every file that Keras's applications fetch within the block with its noted SHA-256."""
    from keras.src.utils import file_utils

    fetch = file_utils.get_file

    def fetch_and_check(*arguments: Any, **options: Any) -> Any:
        path = fetch(*arguments, **options)
        _check(Path(path))
        return path

    file_utils.get_file = fetch_and_check  # the one function that all of them fetch by
    try:
        yield
    finally:
        file_utils.get_file = fetch


def _check(path: Path) -> None:
    """Compares a file with its `FILE.sha256`, or writes that where there is none."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    note = path.with_name(f"{path.name}.sha256")
    if not note.is_file():
        with contextlib.suppress(OSError):  # a cache that others share may be read-only
            write_text(note, f"{found}  {path.name}\n")  # as sha256sum writes and checks it
        return
    expected = note.read_text(encoding="utf-8").partition(" ")[0]
    if found != expected:
        raise FacetError(
            f"weights imagenet: {path} has changed since it was downloaded (SHA-256 {found}, {note.name} says"
            f" {expected or 'nothing'}), remove both to download it again"
        )
