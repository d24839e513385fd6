"""What real trees have and nobody wants: damaged files, odd formats, odd rows, copies on two sides of a split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from hdf5_helper.sample.drawing import draw
from hdf5_helper.sample.encode import UInt8Array, cmyk_jpeg, gif, grey_jpeg, jpeg, png_16_bit, rotated_jpeg
from hdf5_helper.sample.pictures import Picture

#: First bytes of the file in which old Windows versions keep small pictures of a folder.
THUMBS_DB = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)

_COPY_NUMBER = 90


def _half(image: UInt8Array) -> bytes:
    data = jpeg(image)
    return data[: len(data) // 2]


def _text(_image: UInt8Array) -> bytes:
    return b"<html><body>404 Not Found</body></html>\n"


def _nothing(_image: UInt8Array) -> bytes:
    return b""


def _as_planted(place: PurePosixPath) -> PurePosixPath:
    return place


def _code_113(place: PurePosixPath) -> PurePosixPath:
    return place.parent.with_name("113") / place.name


def _without_race(place: PurePosixPath) -> PurePosixPath:
    age, gender, _race, rest = place.name.split("_", 3)
    return place.with_name(f"{age}_{gender}_{rest}")


def _with_blank(place: PurePosixPath) -> PurePosixPath:
    return place.with_name(place.name.replace(".jpg", " .jpg", 1))


def _without_dot(place: PurePosixPath) -> PurePosixPath:
    return place.with_name(place.name.replace(".jpg", "jpg", 1))


@dataclass(frozen=True)
class Flaw:
    """One odd image of a tree.

    Attributes:
        what: what it is, in words.
        encoded: gives the file's bytes from the drawing.
        suffix: suffix of the file's name.
        moved: gives the odd place from the right one.
        copy: the tree's first picture once more, on the other side of an official split.
        missing: the label files name it, and there is no file.
        odd_row: age and gender as the label file says them.
    """

    what: str
    encoded: Callable[[UInt8Array], bytes] = jpeg
    suffix: str = ".jpg"
    moved: Callable[[PurePosixPath], PurePosixPath] = _as_planted
    copy: bool = False
    missing: bool = False
    odd_row: tuple[str, str] | None = None

    def spoil(self, picture: Picture, first: Picture) -> Picture:
        """Gives the picture to plant in the place of `picture`; `first` is the tree's first."""
        if self.copy:
            number = _COPY_NUMBER + first.number
            return replace(picture, person=first.person, alone=first.alone, number=number, other_side=True)
        return replace(picture, suffix=self.suffix, odd_row=self.odd_row)

    def contents(self, picture: Picture, first: Picture, side: int) -> bytes | None:
        """Gives the file's bytes, None where there is to be no file."""
        if self.missing:
            return None
        return self.encoded(draw(first if self.copy else picture, side))


_COMMON = (
    Flaw("a JPEG cut off in the middle", _half),
    Flaw("a text under the name of an image", _text),
    Flaw("an empty file", _nothing),
    Flaw("a grey JPEG", grey_jpeg),
    Flaw("a CMYK JPEG", cmyk_jpeg),
    Flaw("a JPEG that EXIF turns by 90°", rotated_jpeg),
    Flaw("a PNG of 16 bits", png_16_bit, suffix=".png"),
    Flaw("a GIF", gif, suffix=".gif"),
    Flaw("the first image once more, across the split where the layout has one", copy=True),
)
_MISSING = Flaw("named in the label files, and not there", missing=True)

#: Pairs of age and gender as Adience's own fold files have them, beside the proper ones.
_ODD_ROWS = (
    ("(25, 23)", "f"),
    ("(38, 42)", "m"),
    ("35", "f"),
    ("None", "m"),
    ("(4, 6)", "u"),
    ("(0, 2)", ""),
    ("(38, 48)", "m"),
    ("None", ""),
)

_OF_LAYOUT: dict[str, tuple[Flaw, ...]] = {
    "afad": (Flaw("a gender code that does not exist", moved=_code_113),),
    "adience": (*(Flaw(f"age {a!r}, gender {g!r} in the fold file", odd_row=(a, g)) for a, g in _ODD_ROWS), _MISSING),
    "celeba": (_MISSING,),
    "utkface": (
        Flaw("a name without race", moved=_without_race),
        Flaw("a name with a blank", moved=_with_blank),
        Flaw("a name without a dot before jpg", moved=_without_dot),
    ),
    "manifest": (Flaw("a row without age and with another word for gender", odd_row=("", "n/a")), _MISSING),
}


def flaws_of(layout: str) -> Sequence[Flaw]:
    """Gives what `--mess` adds to a tree of `layout`, besides Thumbs.db."""
    return (*_COMMON, *_OF_LAYOUT.get(layout, ()))
