"""GenderModel and its kin: the five lines of Python that train a model on a packed file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hdf5_helper.atomic import write_text
from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.progress import Progress, Say, Silent
from hdf5_helper.reading.generator import HDF5Generator
from hdf5_helper.reading.reader import HDF5Reader
from models.description import ModelDescription
from models.heads import Head, heads_for
from models.interface.assembling import largest_batch, make_trainer
from models.interface.building import start_at_mean_age
from models.interface.evaluation import evaluate
from models.interface.face_settings import check_gpus, class_weights_text, describe, preprocessing_of, settings_of
from models.interface.predictor import KerasPredictor
from models.model_file import load_model_file
from models.network import HeadShape, backbone_of, build_network
from models.preprocessing import Preprocessing
from models.training.history import read_epochs
from models.training.keeper import CheckpointKeeper
from models.training.phases import FINE_TUNING, WARM_UP, Phase, begin
from models.training.runs import Run
from models.training.settings import Settings, to_yaml
from models.training.state import TrainingState
from models.training.stopping import StopFlag
from models.training.surroundings import surroundings
from models.training.trainer import Trainer

#: Examples a step, as in the first implementation.
_BATCH = 64


class FaceModel:
    """Builds and trains models of one kind on one HDF5 file; use a subclass.

    Args:
        conv_base: keras.Model without its top, from images in its own colours to feature maps. Its input size is the
            size of the images.
        num_gpus: GPUs to train on; this version trains on one device, so 0, or 1 where there is one.
        data: HDF5 file, or a folder with `data.h5`; by default `hdf5/LABEL`.
        training_generator, validation_generator, test_generator: HDF5Generators to use instead of those of `data`.
        preprocessing: what `conv_base` wants to see; by default that of the Keras application of its name, else
            (x - mean of the train split) / 127.5 in RGB.
        say: takes sentences; they are printed by default.
        progress: watches the steps.
    """

    labels: tuple[str, ...] = ()
    folder = ""
    dropout = 0.2

    def __init__(
        self,
        conv_base: Any,
        num_gpus: int = 0,
        data: str | Path | None = None,
        training_generator: HDF5Generator | None = None,
        validation_generator: HDF5Generator | None = None,
        test_generator: HDF5Generator | None = None,
        *,
        preprocessing: Preprocessing | None = None,
        say: Say = print,
        progress: Progress | None = None,
    ) -> None:
        check_gpus(num_gpus)
        self.conv_base, self.say, self.progress = conv_base, say, progress or Silent()
        self.heads: tuple[Head, ...] = heads_for(self.labels)
        height, width = conv_base.input_shape[1:3]
        if not (height and width):
            raise FacetError(f"conv_base {conv_base.name}: expected a fixed input_shape such as (150, 150, 3)")
        self.image_size = (height, width)
        path = Path(data or f"hdf5/{self.folder}")
        self.data = path / "data.h5" if path.is_dir() else path
        self.training = training_generator or self._generator("train", shuffle="full")
        self.validation, self.test_data = validation_generator, test_generator
        self.preprocessing = preprocessing or preprocessing_of(conv_base, self.training, say)
        _warn_if_not_exact(say)

    def build_warmup_model(self, learning_rate: float = 1e-3) -> Any:
        """Gives a new model whose head trains on the frozen `conv_base`, compiled with RMSprop."""
        shape = HeadShape("flatten", (256, 256), self.dropout)
        seed = hash_integer(self.training.order.seed, 2)
        model = build_network(self.conv_base, self.preprocessing, self.heads, shape, seed)
        start_at_mean_age(model, self.training)
        begin(model, Phase(WARM_UP, 1, learning_rate, "rmsprop"))
        return model

    def build_tuning_model(self, head_path: str | Path, trainable_layers: int = 4, learning_rate: float = 5e-4) -> Any:
        """Gives the model of a checkpoint with its top backbone layers unfrozen, compiled with Adam.

        Args:
            head_path: a Facet checkpoint or a Keras `.h5`.
            trainable_layers: backbone layers to train, counted from the top; pooling layers count.
            learning_rate: of Adam.
        """
        model, _description = load_model_file(Path(head_path))
        trained = begin(model, Phase(FINE_TUNING, 1, learning_rate, "adam", str(trainable_layers)))
        self.say(f"fine-tuning trains the head and {', '.join(trained)}")
        return model

    def fit(
        self,
        model: Any,
        name: str,
        epochs: int = 25,
        start_epochs: int = 0,
        class_weight: list[float] | dict[int, float] | None = None,
        *,
        overwrite: bool = False,
    ) -> Run:
        """Trains `model` for `epochs` more epochs in the run folder `history/LABEL/NAME`.

        Args:
            model: compiled, as `build_warmup_model`, `build_tuning_model` or `keras.models.load_model` give it.
            name: of the run.
            epochs: how many more.
            start_epochs: epochs already done; later rows of an earlier `epochs.csv` are dropped.
            class_weight: weights by class number (0 = male, 1 = female), as a list or dict.
            overwrite: begin anew where the run exists.
        """
        run = Run(f"{self.folder}/{name}")
        if run.exists() and start_epochs == 0 and not overwrite:
            raise FacetError(f"run {run.name!r} exists: expected another name, start_epochs, or overwrite=True")
        phase = _phase_of(model, start_epochs + epochs)
        description = describe(self.conv_base, self.heads, self.preprocessing, self.training, run.name)
        settings = replace(
            settings_of(description, self.heads, self.training, phase),
            class_weights=class_weights_text(class_weight),
            dropout=self.dropout,
        )
        with run.locked(), StopFlag() as stop:
            state = _state_after(run, phase.name, start_epochs)
            state.optimizer_steps = int(model.optimizer.iterations.numpy())
            if start_epochs == 0:
                run.clear()
            run.create()
            write_text(run.config, to_yaml(settings, dict.fromkeys(("label", "class_weights"), type(self).__name__)))
            self._trainer(settings, run, description, stop).run_phase(model, phase, state)
        return run

    def test(self, model_path: str | Path) -> dict[str, Any]:
        """Measures a checkpoint on the test split; gives label -> metrics."""
        model, description = load_model_file(Path(model_path))
        data = self.test_data or self._generator("test", shuffle=None)
        predictor = KerasPredictor(model, description, str(model_path))
        names = {"run": "", "checkpoint": str(model_path)}
        values = evaluate(predictor, data.reader, data.split, names, self.progress).values
        return dict(values["metrics"])

    def _trainer(self, settings: Settings, run: Run, description: ModelDescription, stop: StopFlag) -> Trainer:
        keeper = CheckpointKeeper(run, description, surroundings(), settings.best_metric, keep=settings.keep)
        return make_trainer(
            settings,
            self.heads,
            self.training,
            keeper,
            validation=self.validation,
            stop=stop,
            say=self.say,
            progress=self.progress,
        )

    def _generator(self, split: str, *, shuffle: str | None) -> HDF5Generator:
        with HDF5Reader(self.data) as reader:
            batch = largest_batch(reader, self.labels, _BATCH, self.say) if split == "train" else _BATCH
        return HDF5Generator(self.data, split, batch, self.labels, image_size=self.image_size, shuffle=shuffle)


class GenderModel(FaceModel):
    """Learns gender: 0 = male, 1 = female, output P(female)."""

    labels, folder = ("gender",), "gender"


class AgeModel(FaceModel):
    """Learns age in years."""

    labels, folder, dropout = ("age",), "age", 0.4


class AgeGenderModel(FaceModel):
    """Learns age and gender in one graph."""

    labels, folder = ("age", "gender"), "age-gender"


def _phase_of(model: Any, epochs: int) -> Phase:
    """Gives the phase that a compiled model is in: fine-tuning as soon as its backbone trains."""
    name = FINE_TUNING if backbone_of(model).trainable_variables else WARM_UP
    rate = float(model.optimizer.learning_rate.numpy())
    return Phase(name, epochs, rate, type(model.optimizer).__name__.lower())


def _state_after(run: Run, phase: str, epochs: int) -> TrainingState:
    """Gives the place after `epochs` epochs of an earlier `fit` of this run, with its rows and best up to there."""
    rows = [row for row in read_epochs(run.folder / "epochs.csv") if row["epoch"] <= epochs] if epochs else []
    best = run.best()
    keeps = best is not None and best.phase == phase and best.epoch <= epochs
    return TrainingState(phase=phase, epoch=epochs, rows=rows, best=best if keeps else None)


def _warn_if_not_exact(say: Say) -> None:
    now = surroundings()
    if (now["op determinism"], now["inter-op threads"]) != ("True", "1"):
        say(
            "note: a resumed run equals an unbroken one to the last bit only with one inter-op thread and"
            " tf.config.experimental.enable_op_determinism(), set before TensorFlow's first operation"
        )
