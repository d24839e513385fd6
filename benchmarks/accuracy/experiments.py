"""What is trained and measured: each experiment is one `facet train` with several seeds, some beside plain Keras."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Pretrained weights by short name.
WEIGHTS = {
    "faces": "mobilenet_1.0_224_faces_notop.weights.h5",
    "imagenet": "mobilenet_1.0_224_imagenet_notop.weights.h5",
    "imagenet_v2": "mobilenet_v2_0.35_224_imagenet_notop.weights.h5",
}

SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Schedule:
    """What Facet and its peer both do.

    Attributes:
        image_size: side of the images in pixels, or `HEIGHTxWIDTH`, which the peer does not take.
        warm_up, fine_tuning: epochs.
        rates: learning rate of each phase, of Adam.
        trainable_layers: of the backbone, in fine-tuning; a number, counted from the top.
        cosine: whether fine-tuning's rate falls to 0 along half a cosine.
    """

    image_size: int | str = 128
    warm_up: int = 4
    fine_tuning: int = 4
    rates: tuple[float, float] = (1e-3, 1e-4)
    trainable_layers: int = 4
    cosine: bool = False

    def options(self) -> list[str]:
        """Gives the options of `facet train`."""
        return [
            *("--image-size", str(self.image_size)),
            *("--warm-up-epochs", str(self.warm_up), "--warm-up-learning-rate", str(self.rates[0])),
            *("--fine-tuning-epochs", str(self.fine_tuning), "--fine-tuning-learning-rate", str(self.rates[1])),
            *("--trainable-layers", str(self.trainable_layers)),
            *(("--set", "fine_tuning_schedule=cosine") if self.cosine else ()),
        ]


@dataclass(frozen=True)
class Bar:
    """What the mean over the seeds or folds must show.

    Attributes:
        figure: title of its column, such as `gender accuracy, test`.
        sign: `≥` or `≤`.
        limit: the figure's bound.
    """

    figure: str
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        """Tells whether a mean keeps to the bound."""
        return value >= self.limit if self.sign == "≥" else value <= self.limit


@dataclass(frozen=True)
class Experiment:
    """One table: a training, its variants or its peer, over several seeds.

    Attributes:
        name: of it, and of its runs.
        tree: folder of the images, below the data folder.
        weights: short name of pretrained weights.
        label: to learn.
        schedule: of both contenders.
        more: further options of `facet train`.
        packing: options of `facet pack`.
        peer: whether plain Keras is trained beside.
        variants: by name of a row, what only that row's training is told, with `{faces}` for the path of those
            weights; none for one row of Facet.
        elsewhere: further trees that the runs are measured on, too.
        groups_by: a label whose classes get columns of their own, such as `gender`.
        folds: whether it is a cross-validation.
        bars: what it must show.
        seeds: of the runs.
    """

    name: str
    tree: str
    weights: str
    label: str
    schedule: Schedule = field(default=Schedule())
    more: tuple[str, ...] = ()
    packing: tuple[str, ...] = ()
    peer: bool = False
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elsewhere: tuple[str, ...] = ()
    groups_by: str = ""
    folds: bool = False
    bars: tuple[Bar, ...] = ()
    seeds: tuple[int, ...] = SEEDS

    def command(self) -> str:
        """Gives the command of its first training, as a reader would type it; variants change single options."""
        options = [*self.schedule.options(), *self.more, *(["--folds"] if self.folds else [])]
        return f"facet train {self.tree}.h5 --label {self.label} --weights {self.weights} {' '.join(options)}"

    def contenders(self) -> tuple[str, ...]:
        """Gives the rows of the table: `facet` or the variants' names, and `keras` where the peer is trained."""
        return (*(self.variants or ("facet",)), *(["keras"] if self.peer else []))
