"""One picture of a drawn person: pose, light and what changes from picture to picture."""

from dataclasses import dataclass

from hdf5_helper.hashing import hash_integer
from hdf5_helper.sample.chance import Dice, Stream
from hdf5_helper.sample.traits import Colour, Traits, draw_traits

CAMERAS = ("studio", "phone", "webcam")

#: How many pictures a person has: a third have one, the others two to five.
_SHOTS = (1, 1, 1, 2, 2, 3, 3, 4, 5)


@dataclass(frozen=True)
class Shot:
    """How a person is seen in one picture.

    Attributes:
        turn: tilt of the head in degrees, clockwise.
        yaw: turn to the side, -1 to 1.
        scale: half height of the face as a share of the image's side.
        shift: the face's centre from the image's centre, as shares of its side (right, down).
        smile: -1 = sad, 1 = broad smile.
        open_mouth: the teeth show.
        hat: wears a hat.
        camera: one of CAMERAS; a webcam is noisy, a phone uneven in its light.
        light: brightness, 1 = as painted.
        side_light: change of brightness from left to right edge, -1 to 1.
        blur: standard deviation of the blur as a share of the image's side, 0 = sharp.
        background: colours of the upper and the lower edge.
        prop: colour of what is behind the person, and where, -1 to 1.
    """

    turn: float
    yaw: float
    scale: float
    shift: tuple[float, float]
    smile: float
    open_mouth: bool
    hat: bool
    camera: str
    light: float
    side_light: float
    blur: float
    background: tuple[Colour, Colour]
    prop: tuple[Colour, float]


@dataclass(frozen=True)
class Picture:
    """One image of a tree.

    Attributes:
        seed: the tree's seed.
        index: which picture of the tree, from 0.
        person: who is drawn.
        number: which picture of this person, from 0.
        alone: this person has no other picture, whatever the size of the tree.
        shot: how the person is seen.
        suffix: suffix of the file's name.
        other_side: lies on the other side of an official split than this person's pictures should.
        odd_row: age and gender as this picture's row of a fold file or manifest says them, where they are odd.
    """

    seed: int
    index: int
    person: Traits
    number: int
    alone: bool
    shot: Shot
    suffix: str = ".jpg"
    other_side: bool = False
    odd_row: tuple[str, str] | None = None

    def draw(self, what: int, stop: int) -> int:
        """Gives an integer in [0, stop) that belongs to this picture and to the purpose numbered `what`."""
        return hash_integer(self.seed, Stream.PLACE, 1, self.index, what) % stop

    def draw_for_person(self, what: int, stop: int) -> int:
        """The same, alike in all pictures of the person."""
        return hash_integer(self.seed, Stream.PLACE, 0, self.person.number, what) % stop


def draw_shot(seed: int, index: int) -> Shot:
    """Gives pose and light of picture `index` of the tree of `seed`."""
    dice = Dice(seed, Stream.SHOT, index)
    upper = _wall(dice)
    camera = dice.one_of(CAMERAS)
    smile = dice.between(-0.5, 1.0)
    return Shot(
        turn=dice.bell(0, 7),
        yaw=max(-1.0, min(1.0, dice.bell(0, 0.4))),
        scale=dice.between(0.29, 0.37),
        shift=(dice.bell(0, 0.025), dice.bell(0.03, 0.02)),
        smile=smile,
        open_mouth=dice.happens(0.25 + 0.4 * max(0.0, smile)),
        hat=dice.happens(0.07),
        camera=camera,
        light=dice.between(0.72, 1.15),
        side_light=dice.bell(0, 0.28 if camera == "phone" else 0.12),
        blur=dice.between(0.006, 0.014) if dice.happens(0.12) else 0.0,
        background=(upper, _shifted(upper, dice.bell(0, 30))),
        prop=(_wall(dice), dice.between(-1, 1)),
    )


def _wall(dice: Dice) -> Colour:
    """Any colour, rather dull."""
    grey = dice.between(50, 225)
    return _shifted((grey + dice.bell(0, 25), grey + dice.bell(0, 25), grey + dice.bell(0, 25)), 0)


def _shifted(colour: Colour, shift: float) -> Colour:
    red, green, blue = (min(255.0, max(0.0, part + shift)) for part in colour)
    return red, green, blue


def draw_pictures(seed: int, count: int, ages: tuple[int, int]) -> list[Picture]:
    """Gives the first `count` pictures of the tree of `seed`; a larger count only adds pictures at the end."""
    pictures: list[Picture] = []
    number = 0
    while len(pictures) < count:
        person = draw_traits(seed, number, ages)
        shots = _SHOTS[hash_integer(seed, Stream.SHOTS, number) % len(_SHOTS)]
        for shot in range(min(shots, count - len(pictures))):
            index = len(pictures)
            pictures.append(Picture(seed, index, person, shot, shots == 1, draw_shot(seed, index)))
        number += 1
    return pictures
