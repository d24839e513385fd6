"""What a model says of one picture for one label: for people, for CSV and for JSON."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError
from models.description import THRESHOLD, Output
from models.training.attribute_metrics import says_yes

#: Attributes that an answer's short form names.
_NAMED = 3


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture for one label.

    Attributes:
        predicted: class name, a number in the label's unit, or the names of the attributes that are yes.
        probabilities: by class name, in class order, or by attribute that it is yes; empty for a number and for scores.
        scores: by attribute of a model that gives -1 for no and 1 for yes; else empty.
    """

    predicted: str | float | tuple[str, ...]
    probabilities: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Short form for people: `female 0.97`, `31.4`, of attributes the surest: `Smiling 0.97, Young 0.80`."""
        if isinstance(self.predicted, tuple):
            values = self.probabilities or self.scores
            surest = sorted(self.predicted, key=lambda name: -values[name])[:_NAMED]
            more = [f"{len(self.predicted) - _NAMED} more"] if len(self.predicted) > _NAMED else []
            return ", ".join([*(f"{name} {values[name]:.2f}" for name in surest), *more]) or "none"
        if isinstance(self.predicted, str):
            return f"{self.predicted} {self.probabilities[self.predicted]:.2f}"
        return f"{self.predicted:.1f}"

    def columns(self, label: str) -> dict[str, dict[str, str]]:
        """Gives the cells of a CSV row, by column, under the name of what they tell of.

        Under the label: `LABEL_predicted` and `LABEL_CLASS_probability` for each class. Of attributes, under each of
        them: `ATTRIBUTE_predicted` (yes or no) and `ATTRIBUTE_probability`, or `ATTRIBUTE_score`.
        """
        if not isinstance(self.predicted, tuple):
            cells = {f"{label}_predicted": _number(self.predicted)}
            cells |= {f"{label}_{name}_probability": _number(value) for name, value in self.probabilities.items()}
            return {label: cells}
        kind, values = ("probability", self.probabilities) if self.probabilities else ("score", self.scores)
        said = {name: "yes" if name in self.predicted else "no" for name in values}
        return {n: {f"{n}_predicted": said[n], f"{n}_{kind}": _number(value)} for n, value in values.items()}

    def to_dict(self) -> dict[str, Any]:
        """Gives the JSON form: `predicted`, and `probabilities` or `scores` where there are any."""
        predicted = list(self.predicted) if isinstance(self.predicted, tuple) else self.predicted
        more = {"probabilities": self.probabilities, "scores": self.scores}
        return {"predicted": predicted} | {name: values for name, values in more.items() if values}


def _number(value: str | float) -> str:
    """Gives text from which the same float32 can be read again."""
    return value if isinstance(value, str) else f"{value:.9g}"


def answer(output: Output, values: NDArray[np.floating[Any]]) -> Answer:
    """Reads one output for one picture.

    Args:
        output: what the values mean.
        values: (k,): one sigmoid P(class 1), k softmax probabilities, one number, or a value an attribute.

    Raises:
        FacetError: several values that are none of these.
    """
    if output.label == "attributes" and output.activation in ("sigmoid", "linear") and output.class_names:
        return _attributes(output, values)
    if output.activation == "sigmoid" and len(values) == 1:
        second = float(values[0])
        first_name, second_name = output.class_names or ("0", "1")
        chosen = second_name if second >= THRESHOLD else first_name
        return Answer(chosen, {first_name: 1.0 - second, second_name: second})
    if len(values) == 1:
        return Answer(float(values[0]))
    if output.activation != "softmax":
        raise FacetError(
            f"output {output.label!r}: {len(values)} {output.activation} values, expected one or a softmax"
        )
    names = output.class_names or tuple(str(number) for number in range(len(values)))
    by_name = {name: float(value) for name, value in zip(names, values, strict=True)}
    return Answer(names[int(np.argmax(values))], by_name)


def _attributes(output: Output, values: NDArray[np.floating[Any]]) -> Answer:
    by_name = dict(zip(output.class_names, values.tolist(), strict=True))
    chosen = tuple(np.array(output.class_names)[says_yes(output, values)].tolist())
    return Answer(chosen, by_name, {}) if output.activation == "sigmoid" else Answer(chosen, {}, by_name)
