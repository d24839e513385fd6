"""What an export is asked for, checked before any work."""

from dataclasses import dataclass

from hdf5_helper.errors import FacetError, did_you_mean
from models.description import ModelDescription
from models.export.age_estimator_sharp import IMAGE_SIZE, PRESET
from models.export.formats import SUFFIXES
from models.export.litert_model import QUANTIZATIONS
from models.export.signature import check_input_type, check_preprocessing

#: The runtime that a format is made for: it must be able to run the file.
_OWN_RUNTIME = {"pb": "tensorflow", "saved_model": "tensorflow", "onnx": "onnxruntime", "litert": "litert"}


@dataclass(frozen=True)
class ExportOptions:
    """How an exported file shall be.

    Attributes:
        file_format: `pb`, `saved_model`, `onnx` or `litert`.
        preprocessing: `inside` takes RGB 0–255; `outside` leaves colours, mean and scale to the caller.
        input_type: `float32` or `uint8` of its input.
        quantization: `none`, `float16` or `int8` weights, the latter two for `litert` alone.
        preset: empty, or `age-estimator-sharp`, which decides about all names and goes with `pb` and `outside`.
        verify_with: keys of the runtimes that must run it; all that are installed by default.
    """

    file_format: str = "pb"
    preprocessing: str = "inside"
    input_type: str = "float32"
    quantization: str = "none"
    preset: str = ""
    verify_with: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what does not exist and what does not go together."""
        _check("--format", self.file_format, SUFFIXES)
        check_preprocessing(self.preprocessing)
        check_input_type(self.input_type, outside=self.preprocessing == "outside")
        _check("--quantize", self.quantization, QUANTIZATIONS)
        if self.quantization != "none" and self.file_format != "litert":
            raise FacetError(f"--quantize {self.quantization}: goes with --format litert, found {self.file_format}")
        if self.preset:
            self._check_preset()

    @property
    def needed(self) -> set[str]:
        """Keys of the runtimes that must run the file, where they are installed and take part."""
        own = {_OWN_RUNTIME[self.file_format]} | ({"tensorflow1"} if self.preset else set())
        return own | set(self.verify_with)

    def image_size(self, description: ModelDescription) -> tuple[int, int]:
        """Gives the (height, width) that the file takes: the model's, or the preset's.

        Raises:
            FacetError: a model of images of any size.
        """
        if not all(description.image_size):
            raise FacetError("the model takes images of any size, expected one of a fixed size (None, H, W, 3)")
        return IMAGE_SIZE if self.preset else description.image_size

    def _check_preset(self) -> None:
        _check("--preset", self.preset, (PRESET,))
        if (self.file_format, self.preprocessing, self.input_type) != ("pb", "outside", "float32"):
            raise FacetError(
                f"--preset {self.preset}: that program decides about format, preprocessing and input type, expected"
                " none of these options"
            )


def runtime_keys(text: str | None) -> tuple[str, ...]:
    """Gives the keys that `--verify-with KEY,KEY` names, none where it is not given."""
    return tuple(dict.fromkeys(key.strip() for key in text.split(","))) if text is not None else ()


def _check(option: str, value: str, known: dict[str, str] | tuple[str, ...]) -> None:
    if value not in known:
        raise FacetError(f"{option} {value!r}: {did_you_mean(value, known)}")
