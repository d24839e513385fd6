"""What GenderModel and its kin have in common: a model built, trained, resumed and measured from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hdf5_helper.errors import FacetError
from hdf5_helper.hashing import hash_integer
from hdf5_helper.progress import Progress, Say, Silent
from hdf5_helper.reading.generator import HDF5Generator
from models.description import ModelDescription
from models.heads.choosing import heads_for
from models.heads.head import Head
from models.interface.evaluation import evaluate
from models.interface.face_data import (
    FaceData,
    class_names_of,
    opened,
    origin_of,
    packed,
    packed_only,
    start_at_labels_of,
)
from models.interface.face_replicas import replicas_on, spread_over
from models.interface.face_settings import (
    class_weights_text,
    describe,
    preprocessing_of,
    settings_of,
    warn_if_not_exact,
)
from models.interface.face_training import Fit, check_same, observers_for, phase_of, restored, state_after
from models.interface.predictor import KerasPredictor
from models.model_file import load_model_file
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing
from models.training.checkpoints import Checkpoint
from models.training.observers import Observers
from models.training.phase import FINE_TUNING, WARM_UP, Phase
from models.training.phases import begin, phases_of
from models.training.runs import Run
from models.training.settings import Settings
from models.training.settings_file import load_settings
from models.training.trackers import Tracker
from models.training.whole_model import heads_of, is_whole


class FaceModel:
    """Builds and trains models of one kind on one HDF5 file, or on data of your own; use a subclass.

    Args:
        conv_base: keras.Model without its top, from images in its own colours to feature maps. Its input size is the
            size of the images. Or a whole model of your own, see `fit`.
        num_gpus: GPUs that share each batch; 0 and 1 mean the default device.
        data: HDF5 file, or a folder with `data.h5`; by default `hdf5/LABEL`.
        training_generator, validation_generator: HDF5Generators to use instead of those of `data`, or data of your own:
            keras.utils.PyDataset, tf.data.Dataset, a Python generator, or arrays (images, labels), see
            `models.training.foreign`.
        test_generator: HDF5Generator.
        class_names: by label, the names of its classes or attributes, where the data are your own and do not tell.
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
        training_generator: Any = None,
        validation_generator: Any = None,
        test_generator: HDF5Generator | None = None,
        *,
        class_names: Mapping[str, tuple[str, ...]] | None = None,
        preprocessing: Preprocessing | None = None,
        say: Say = print,
        progress: Progress | None = None,
    ) -> None:
        self.replicas = replicas_on(num_gpus)
        self.conv_base, self.say, self.progress = conv_base, say, progress or Silent()
        height, width = conv_base.input_shape[1:3]
        if not (height and width):
            raise FacetError(f"conv_base {conv_base.name}: expected a fixed input_shape such as (150, 150, 3)")
        self.image_size = (height, width)
        path = Path(data or f"hdf5/{self.folder}")
        self.data = path / "data.h5" if path.is_dir() else path
        names = class_names or class_names_of(training_generator, self.data, self.labels)
        self._own_heads = heads_for(self.labels, names)
        self.heads: tuple[Head, ...] = self._heads(conv_base)
        self.training = self._opened(training_generator, "training_generator") or self._generator(
            "train", shuffle="full"
        )
        self.validation = self._opened(validation_generator, "validation_generator")
        self.test_data = packed_only(test_generator, "test_generator")
        self.preprocessing = preprocessing or preprocessing_of(conv_base, self.training, say)
        warn_if_not_exact(say)

    def build_warmup_model(self, learning_rate: float = 1e-3) -> Any:
        """Gives a new model whose head trains on the frozen `conv_base`, compiled with RMSprop."""
        if is_whole(self.conv_base):
            raise FacetError(f"conv_base {self.conv_base.name}: is a whole model, expected fit(model) with it as it is")
        shape = HeadShape("flatten", (256, 256), self.dropout)
        seed = hash_integer(origin_of(self.training).seed, 2)
        model = build_network(self.conv_base, self.preprocessing, self.heads, shape, seed)
        start_at_labels_of(model, self.training, self.heads)
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
        class_weight: list[float] | dict[int, float] | str | None = None,
        *,
        callbacks: Sequence[Any] = (),
        trackers: Sequence[Tracker] = (),
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        overwrite: bool = False,
    ) -> Run:
        """Trains `model` for `epochs` more epochs in the run folder `history/LABEL/NAME`.

        Args:
            model: compiled, as `build_warmup_model`, `build_tuning_model` or `keras.models.load_model` give it; or a
                whole model of your own, from RGB 0–255 (N, H, W, 3) to P(female) behind a sigmoid, or years, (N, 1). Of
                what that was compiled with, its optimizer is used: the losses are Facet's.
            name: of the run.
            epochs: how many more.
            start_epochs: epochs already done; later rows of an earlier `epochs.csv` are dropped.
            class_weight: weights by class number (0 = male, 1 = female), as a list or dict, or `balanced`.
            callbacks: `keras.callbacks.Callback`s, see `models.training.keras_callbacks`.
            trackers: see `models.training.trackers`.
            steps_per_epoch: training batches of an epoch, for data of your own that do not say how many there are.
            validation_steps: validation batches, likewise.
            overwrite: begin anew where the run exists.
        """
        run = Run(f"{self.folder}/{name}")
        if run.exists() and start_epochs == 0 and not overwrite:
            raise FacetError(f"run {run.name!r} exists: expected another name, start_epochs, or overwrite=True")
        settings, description = self._resolved(model, run, start_epochs + epochs, class_weights_text(class_weight))
        if is_whole(model):
            # Keras does not load a checkpoint whose loss is a function of somebody's own
            model.compile(optimizer=model.optimizer, jit_compile=False)
        observers = observers_for(callbacks, trackers, run, settings, self.say)
        with run.locked(), spread_over(self.replicas, model) as spread:
            state = state_after(run, phases_of(settings)[0].name, start_epochs)
            state.optimizer_steps = int(model.optimizer.iterations.numpy())
            fit = self._fit(run, settings, Checkpoint(spread, description, state, {}), observers)
            fit.train((steps_per_epoch, validation_steps), self.say, self.progress, clear=start_epochs == 0)
        return run

    def resume(
        self,
        name: str,
        *,
        callbacks: Sequence[Any] = (),
        trackers: Sequence[Tracker] = (),
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> Run:
        """Goes on with a `fit` that was stopped or killed, from its newest whole checkpoint, to its last epoch.

        On a packed file the result is that of an unbroken `fit`, on the CPU to the last bit. Model, class weights and
        epochs are those of the run.

        Args:
            name: of the run.
            callbacks: as for `fit`; their states come from the checkpoint.
            trackers: as for `fit`.
            steps_per_epoch: as for `fit`.
            validation_steps: as for `fit`.

        Raises:
            FacetError: no such run, or it was trained on something else.
        """
        run = Run.open(f"{self.folder}/{name}")
        with run.locked():
            began, settings = restored(run, self.replicas, self.say), load_settings(run.config)
            check_same(run, settings, self._resolved(began.model, run, 1, settings.class_weights)[0])
            observers = observers_for(callbacks, trackers, run, settings, self.say)
            steps = steps_per_epoch, validation_steps
            self._fit(run, settings, began, observers).train(steps, self.say, self.progress)
        return run

    def test(self, model_path: str | Path) -> dict[str, Any]:
        """Measures a checkpoint on the test split; gives label -> metrics."""
        model, description = load_model_file(Path(model_path))
        data = self.test_data or self._generator("test", shuffle=None)
        predictor = KerasPredictor(model, description, str(model_path))
        names = {"run": "", "checkpoint": str(model_path)}
        values = evaluate(predictor, data.reader, data.split, names, self.progress).values
        return dict(values["metrics"])

    def _fit(self, run: Run, settings: Settings, began: Checkpoint, observers: Observers) -> Fit:
        heads, data = self._heads(began.model), (self.training, self.validation)
        return Fit(run, settings, began, heads, data, observers, self.replicas, type(self).__name__)

    def _resolved(self, model: Any, run: Run, epochs: int, class_weights: str) -> tuple[Settings, ModelDescription]:
        """Gives what a run of `model` writes down of itself."""
        heads, origin, whole = self._heads(model), origin_of(self.training), is_whole(model)
        if tuple(model.input_shape[1:3]) != self.image_size:
            height, width = self.image_size
            raise FacetError(
                f"model {model.name}: takes {model.input_shape[1:3]}, expected images of {(height, width)}"
            )
        preprocessing = Preprocessing() if whole else self.preprocessing
        description = describe(model if whole else self.conv_base, heads, preprocessing, origin, run.name)
        settings = settings_of(description, heads, origin, phase_of(model, epochs))
        return replace(settings, class_weights=class_weights, dropout=self.dropout), description

    def _heads(self, model: Any) -> tuple[Head, ...]:
        return heads_of(model, self._own_heads) if is_whole(model) else self._own_heads

    def _opened(self, data: Any, name: str) -> FaceData | None:
        return None if data is None else opened(data, name, self._own_heads, self.image_size)

    def _generator(self, split: str, *, shuffle: str | None) -> HDF5Generator:
        return packed(self.data, split, self.labels, self.image_size, shuffle=shuffle, say=self.say)
