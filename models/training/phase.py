"""What one phase of a training is asked to do."""

from dataclasses import dataclass

from hdf5_helper.errors import FacetError
from models.training.schedule import parse_schedule
from models.training.value_checks import check_choice, check_number

WARM_UP, FINE_TUNING = "warm_up", "fine_tuning"
OPTIMIZERS = ("adam", "adamax", "rmsprop", "sgd")


@dataclass(frozen=True)
class Phase:
    """One phase of a training.

    Attributes:
        name: `warm_up` or `fine_tuning`.
        epochs: how many in all; 0 leaves the phase out.
        learning_rate: of its optimizer, above 0; the highest one where a schedule changes it.
        optimizer: `adam`, `adamax`, `rmsprop` or `sgd`.
        trainable_layers: backbone layers to train: a number counted from the top, a layer's name, or `all`.
        schedule: `constant`, `cosine`, `cosine:0.01`, `step:10:0.5` or `plateau:3:0.1`, see `models.training.schedule`.
        learning_rate_warm_up: epochs, also parts of one, in which the learning rate rises from 0; 0 for none.
        gradient_clipping: largest global norm of the gradients; 0 for no limit.
        weight_decay: share of each weight times the learning rate that a step takes away, decoupled from the gradient
            (Loshchilov and Hutter 2019); biases, gammas and betas do not decay. 0 for none.
        label_smoothing: in [0, 1): how far targets of classes move towards all classes alike.
        early_stopping: epochs without a better best metric after which the phase ends; 0 for never.
    """

    name: str
    epochs: int
    learning_rate: float
    optimizer: str
    trainable_layers: str = "0"
    schedule: str = "constant"
    learning_rate_warm_up: float = 0.0
    gradient_clipping: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    early_stopping: int = 0

    def __post_init__(self) -> None:
        """Refuses impossible values, naming each."""
        check_choice("phase", self.name, (WARM_UP, FINE_TUNING))
        check_number(f"{self.name}_epochs", self.epochs, least=0)
        check_number(f"{self.name}_learning_rate", self.learning_rate, above=0)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        parse_schedule(self.schedule)
        for name in ("learning_rate_warm_up", "gradient_clipping", "weight_decay", "early_stopping"):
            check_number(name, getattr(self, name), least=0)
        check_number("label_smoothing", self.label_smoothing, least=0, below=1)
        if self.epochs and self.learning_rate_warm_up > self.epochs:
            raise FacetError(
                f"learning_rate_warm_up {self.learning_rate_warm_up:g}: expected no more than the {self.epochs} epochs"
                f" of {self.name}"
            )
