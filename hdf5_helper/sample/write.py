"""Draws a whole tree, or nothing."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hdf5_helper.disk import failures_as_sentences
from hdf5_helper.errors import FacetError
from hdf5_helper.labels import FEMALE
from hdf5_helper.progress import Progress, Silent
from hdf5_helper.sample.drawing import draw
from hdf5_helper.sample.encode import jpeg
from hdf5_helper.sample.layouts import find_layout
from hdf5_helper.sample.mess import THUMBS_DB, Flaw, flaws_of
from hdf5_helper.sample.pictures import Picture, draw_pictures
from hdf5_helper.sample.planting import SampleTree


@dataclass(frozen=True)
class SampleOptions:
    """What to draw.

    Attributes:
        layout: name in LAYOUTS.
        count: number of pictures, at least 1; `mess` adds some more.
        seed: another seed gives other persons.
        image_size: side of the square pictures in pixels, 16–2048.
        mess: add what real trees have: damaged, odd and wrongly labelled files.
    """

    layout: str
    count: int = 2000
    seed: int = 0
    image_size: int = 128
    mess: bool = False

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn."""
        find_layout(self.layout)
        if self.count < 1:
            raise FacetError(f"--count: expected a positive number, received {self.count}")
        if not 16 <= self.image_size <= 2048:
            raise FacetError(f"--image-size: expected a side of 16 to 2048 pixels, received {self.image_size}")


@dataclass(frozen=True)
class SampleReport:
    """What was drawn.

    Attributes:
        images: good pictures.
        persons: how many persons they show.
        women: how many pictures show a woman.
        ages: youngest and oldest age.
        mess: what `mess` added: path in the tree -> what it is.
    """

    images: int
    persons: int
    women: int
    ages: tuple[int, int]
    mess: dict[str, str]


def write_sample(folder: Path, options: SampleOptions, progress: Progress | None = None) -> SampleReport:
    """Draws the tree of `options` into `folder`: the same options give the same bytes.

    A larger count draws the same pictures and more of them.

    Args:
        folder: made here; may exist if it is empty.
        options: what to draw.
        progress: watches, a unit a picture.

    Raises:
        FacetError: `folder` is a file, has something in it, has no folder to be in, or cannot be written.
    """
    watcher = progress or Silent()
    layout = find_layout(options.layout)
    flaws = flaws_of(options.layout) if options.mess else ()
    drawn = draw_pictures(options.seed, options.count + len(flaws), layout.ages)
    good, first = drawn[: options.count], drawn[0]
    spoilt = [flaw.spoil(picture, first) for flaw, picture in zip(flaws, drawn[options.count :], strict=True)]
    tree = layout.plant([*good, *spoilt])
    with failures_as_sentences(folder), _new_folder(folder) as root:
        watcher.start("drawing", len(good))
        for place, picture in zip(tree.places, good, strict=False):
            _write(root, place, jpeg(draw(picture, options.image_size)))
            watcher.advance(1)
        watcher.stop()
        for place, contents in tree.files.items():
            _write(root, place, contents)
        mess = _write_mess(root, tree, good, list(zip(flaws, spoilt, strict=True)), options)
    return _report(good, mess)


def _write_mess(
    root: Path,
    tree: SampleTree,
    good: Sequence[Picture],
    spoilt: Sequence[tuple[Flaw, Picture]],
    options: SampleOptions,
) -> dict[str, str]:
    mess: dict[str, str] = {}
    for place, (flaw, picture) in zip(tree.places[len(good) :], spoilt, strict=True):
        odd_place = flaw.moved(place)
        contents = flaw.contents(picture, good[0], options.image_size)
        if contents is not None:
            _write(root, odd_place, contents)
        mess[str(odd_place)] = flaw.what
    if spoilt:
        extra = find_layout(options.layout).extra
        thumbs = {"Thumbs.db": THUMBS_DB, str(tree.places[0].with_name("Thumbs.db")): THUMBS_DB}
        for name, contents in {**extra, **thumbs}.items():
            _write(root, PurePosixPath(name), contents)
            mess[name] = "no image"
    return mess


def _write(root: Path, place: PurePosixPath, contents: bytes) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder beside `folder` to write to, which becomes `folder` in the end; a failure leaves nothing of it."""
    if folder.exists() and not folder.is_dir():
        raise FacetError(f"{folder}: is a file, expected a new or empty folder")
    if folder.exists() and any(folder.iterdir()):
        raise FacetError(f"{folder}: has something in it, expected a new or empty folder")
    if not folder.absolute().parent.is_dir():
        raise FacetError(f"{folder}: no such folder as {folder.parent}, expected an existing one")
    whole = folder.resolve()
    part = whole.with_name(f".{whole.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        yield part
        if whole.exists():
            _fill(whole, part)
        else:
            part.rename(whole)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _fill(empty: Path, part: Path) -> None:
    """Moves what is in `part` to a folder that was there before, and may be somebody's current one."""
    moved: list[Path] = []
    try:
        for child in sorted(part.iterdir()):
            moved.append(child.rename(empty / child.name))  # noqa: PERF401 - what was moved is known if one fails
    except BaseException:
        for child in moved:
            child.rename(part / child.name)
        raise
    part.rmdir()


def _report(good: Sequence[Picture], mess: dict[str, str]) -> SampleReport:
    ages = [picture.person.age for picture in good]
    return SampleReport(
        images=len(good),
        persons=len({picture.person.number for picture in good}),
        women=sum(picture.person.gender == FEMALE for picture in good),
        ages=(min(ages), max(ages)),
        mess=mess,
    )
