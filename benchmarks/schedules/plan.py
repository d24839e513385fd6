"""What is trained: each workload is one schedule on one set of images."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Workload:
    """A schedule, its network and its images.

    Attributes:
        name: of it; of its files too.
        backbone: `vgg19` or `mobilenet`; alpha: MobileNet's width.
        pretrained: whether it starts from the face weights, else from random ones: times are the same.
        side: of the images, in pixels.
        limit: images at most; None for all.
        split: their parts as `facet pack --split` takes them.
        epochs: of warm-up and fine-tuning.
        peer_epochs: what peers train of that where their equal epochs are timed as a median times their number.
        batch: images a step.
    """

    name: str
    backbone: str
    side: int
    epochs: tuple[int, int]
    alpha: float = 1.0
    pretrained: bool = False
    limit: int | None = None
    split: str = "1,0,0"
    peer_epochs: tuple[int, int] | None = None
    batch: int = 64

    def of_peers(self) -> "Workload":
        """Gives it with the epochs that peers train."""
        return replace(self, epochs=self.peer_epochs or self.epochs)


@dataclass(frozen=True)
class Plan:
    """All workloads, by the part that they belong to.

    Epochs of fine-tuning are timed from the third on: the first compiles, and what the cache lacks is filled before.
    """

    warm_up: Workload = Workload("warm-up", "vgg19", 150, (24, 0), limit=1000, peer_epochs=(3, 0))
    fine_tuning: Workload = Workload("fine-tuning", "vgg19", 150, (0, 5), limit=320, peer_epochs=(0, 4))
    whole: Workload = Workload("whole", "mobilenet", 128, (6, 12), pretrained=True, split="official")
    precision: dict[str, Workload] = field(
        default_factory=lambda: {
            "VGG19 150×150": Workload("precision-vgg19", "vgg19", 150, (0, 4), limit=320),
            "MobileNet 128×128": Workload("precision-mobilenet", "mobilenet", 128, (0, 5), limit=1000),
        }
    )
    second: Workload = Workload("second", "vgg19", 150, (1, 1), limit=1000)
