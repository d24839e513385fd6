"""Who is drawn: everything that stays the same in all pictures of one person."""

from dataclasses import dataclass

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import FEMALE, MALE
from hdf5_helper.sample.chance import Dice, Stream

#: Red, green, blue, each 0–255.
Colour = tuple[float, float, float]

#: Skin from light to dark; `Traits.tone` is the place in this list.
SKINS: tuple[Colour, ...] = (
    (244, 208, 180),
    (226, 180, 142),
    (198, 148, 108),
    (148, 102, 70),
    (98, 66, 48),
)
HAIRS: dict[str, Colour] = {
    "black": (34, 28, 28),
    "brown": (92, 60, 36),
    "blond": (208, 172, 96),
    "red": (150, 74, 36),
}
EYES: tuple[Colour, ...] = ((74, 48, 28), (52, 84, 130), (66, 98, 60))
BEARDS = ("none", "stubble", "mustache", "goatee", "full")


@dataclass(frozen=True)
class Hair:
    """Hair and beard.

    Attributes:
        colour: name in HAIRS.
        grey: share of grey hair, 0–1.
        length: 0 = cropped, 1 = over the shoulders.
        receding: how far the hairline has moved back, 0–1; from 0.6 on the head is bald.
        bangs: hair falls over the forehead.
        wavy: wavy instead of straight.
        beard: one of BEARDS.
    """

    colour: str
    grey: float
    length: float
    receding: float
    bangs: bool
    wavy: bool
    beard: str

    @property
    def bald(self) -> bool:
        """Hair is left at the sides alone."""
        return self.receding >= 0.6

    @property
    def fringe(self) -> bool:
        """Bangs are seen: there is hair above the forehead to form them."""
        return self.bangs and self.receding < 0.25


@dataclass(frozen=True)
class Face:
    """Shapes of the face.

    Attributes:
        width: half width of the face in half heights of the face.
        jaw: 0 = pointed, 1 = square.
        brow: thickness of the eyebrows, 0–1.
        eye: size of the eyes, 1 = usual for an adult.
        eye_colour: colour of the iris.
        nose: width of the nose, 0–1.
        lips: fullness of the lips, 0–1.
        wrinkles: depth of the lines of age, 0–1.
    """

    width: float
    jaw: float
    brow: float
    eye: float
    eye_colour: Colour
    nose: float
    lips: float
    wrinkles: float


@dataclass(frozen=True)
class Worn:
    """What the person wears; `makeup` is paint on eyelids and cheeks."""

    lipstick: bool
    makeup: bool
    glasses: bool
    earrings: bool
    clothes: Colour


@dataclass(frozen=True)
class Traits:
    """A drawn person.

    Attributes:
        number: which person of the tree, from 0.
        gender: 0 = male, 1 = female.
        age: whole years, 0–110.
        tone: place of the skin in SKINS, 0 = lightest.
        skin: colour of the skin.
        hair: hair and beard.
        face: shapes of the face.
        worn: what the person wears.
    """

    number: int
    gender: int
    age: int
    tone: int
    skin: Colour
    hair: Hair
    face: Face
    worn: Worn

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn or labelled."""
        if self.gender not in (MALE, FEMALE) or not 0 <= self.age <= 110:
            raise FacetError(
                f"a drawn person has gender 0 or 1 and an age of 0–110. Received: {self.gender}, {self.age}"
            )


def draw_traits(seed: int, number: int, ages: tuple[int, int]) -> Traits:
    """Gives person `number` of the tree of `seed`.

    Args:
        seed: the tree's seed.
        number: which person.
        ages: youngest and oldest age in years, both included.
    """
    dice = Dice(seed, Stream.PERSON, number)
    gender = FEMALE if dice.happens(0.46) else MALE
    age = _age(dice, ages)
    tone = dice.integer(0, len(SKINS))
    return Traits(
        number=number,
        gender=gender,
        age=age,
        tone=tone,
        skin=_near(dice, SKINS[tone]),
        hair=_hair(dice, gender, age, tone),
        face=_face(dice, gender, age),
        worn=_worn(dice, gender, age),
    )


def _age(dice: Dice, ages: tuple[int, int]) -> int:
    """Of two draws the younger counts half the time: fewer old people than young ones, none absent."""
    first, second = dice.between(ages[0], ages[1] + 1), dice.between(ages[0], ages[1] + 1)
    return int(min(first, second) if dice.happens(0.5) else first)


def _near(dice: Dice, colour: Colour) -> Colour:
    shift = dice.bell(0, 10)
    red, green, blue = (min(255.0, max(0.0, part + shift + dice.bell(0, 4))) for part in colour)
    return red, green, blue


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))


def _hair(dice: Dice, gender: int, age: int, tone: int) -> Hair:
    colours = ("black", "brown", "blond", "blond", "red") if tone < 2 else ("black", "black", "brown")
    long = dice.happens(0.82 if gender == FEMALE else 0.10)
    receding = dice.bell((age - 35) / 90, 0.2)
    bearded = dice.happens(0.45) and gender == MALE and age > 17
    beard = dice.one_of(BEARDS[1:])
    return Hair(
        colour=dice.one_of(colours),
        grey=_share(dice.bell((age - 42) / 28, 0.18)) if age > 30 else 0.0,
        length=dice.between(0.55, 1.0) if long else dice.between(0.0, 0.4),
        receding=_share(receding) if gender == MALE and age > 22 else 0.0,
        bangs=dice.happens(0.32 if gender == FEMALE else 0.14),
        wavy=dice.happens(0.35),
        beard=beard if bearded else "none",
    )


def _face(dice: Dice, gender: int, age: int) -> Face:
    """Gender shows more and more between 5 and 18 years; a child's face is round, with large eyes."""
    grown = _share((age - 5) / 13) * (1 if gender == MALE else -1)
    child = _share(1 - age / 16)
    return Face(
        width=dice.bell(0.75 + 0.02 * grown + 0.10 * child, 0.035),
        jaw=_share(dice.bell(0.45 + 0.22 * grown, 0.14)),
        brow=_share(dice.bell(0.45 + 0.20 * grown - 0.25 * child, 0.14)),
        eye=dice.bell(1.0 + 0.35 * child - 0.04 * grown - 0.15 * _share((age - 50) / 40), 0.07),
        eye_colour=dice.one_of(EYES),
        nose=_share(dice.bell(0.45 + 0.10 * grown - 0.25 * child + age / 500, 0.14)),
        lips=_share(dice.bell(0.5 - 0.15 * grown - age / 400, 0.17)),
        wrinkles=_share(dice.bell((age - 28) / 50, 0.10)) if age > 20 else 0.0,
    )


def _worn(dice: Dice, gender: int, age: int) -> Worn:
    painted = gender == FEMALE and age > 14
    return Worn(
        lipstick=dice.happens(0.55) and painted,
        makeup=dice.happens(0.45) and painted,
        glasses=dice.happens(0.10 + age / 300),
        earrings=dice.happens(0.35 if gender == FEMALE else 0.04) and age > 5,
        clothes=(dice.between(30, 220), dice.between(30, 220), dice.between(30, 220)),
    )
