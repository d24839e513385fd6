"""Which head a label has: its forms, the first of each being the one without a word."""

import re
from collections.abc import Mapping

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import AGE_GROUP_NAMES, GENDER_NAMES
from models.description import UNKNOWN_NAME, Output
from models.heads.age_bins import AgeBinsHead
from models.heads.attributes import AttributesHead
from models.heads.binary import BinaryHead
from models.heads.classes import ClassHead, OrderedClassHead
from models.heads.head import Head
from models.heads.years import YearsHead

#: Forms of a head by label, the usual one first; every other label has classes.
FORMS = {
    "gender": ("sigmoid", "softmax", "softmax-unknown"),
    "age": ("mae", "mse", "huber", "bins"),
    "age_group": ("softmax",),
    "attributes": ("bce", "mse"),
}
_CLASSES = ("softmax",)

#: Names that a file need not tell.
_NAMES = {"gender": GENDER_NAMES, "age_group": AGE_GROUP_NAMES}

#: Layers of a model that are no label's.
_TAKEN = ("image", "preprocess", "crop", "backbone", "features", "normalization", "facet")

#: Errors of age are years, those of classes nats: a tenth of one counts as much as a year of the other.
_CLASS_WEIGHT = 10.0


def heads_for(
    labels: tuple[str, ...],
    class_names: Mapping[str, tuple[str, ...]] | None = None,
    forms: Mapping[str, str] | None = None,
    loss_weights: Mapping[str, float] | None = None,
) -> tuple[Head, ...]:
    """Gives the heads of one model, in the labels' order.

    Args:
        labels: names.
        class_names: of each label that has classes or attributes; those of gender and age_group are known.
        forms: by label, where it is not the usual one.
        loss_weights: by label; by default 1 for age or a single label, and 10 for others beside.

    Raises:
        FacetError: a form that the label does not have, a weight that is none, classes that are not known.
    """
    forms, weights = dict(forms or {}), dict(loss_weights or {})
    for name, given in (("heads", forms), ("loss_weights", weights)):
        for label in given:
            if label not in labels:
                raise FacetError(f"{name} {label!r}: is not trained, {did_you_mean(label, labels)}")
    known = {**_NAMES, **(class_names or {})}
    usual = {label: 1.0 if label == "age" or len(labels) == 1 else _CLASS_WEIGHT for label in labels}
    for label, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise FacetError(f"loss_weights {label}={weight:g}: expected a finite number of at least 0")
    weights = usual | weights
    return tuple(_head(label, forms.get(label, ""), tuple(known.get(label, ())), weights[label]) for label in labels)


def _head(label: str, form: str, names: tuple[str, ...], weight: float) -> Head:
    if label in _TAKEN or not re.fullmatch(r"[A-Za-z0-9][\w.-]*", label, re.ASCII):
        raise FacetError(f"label {label!r}: cannot name an output, expected letters, digits, _ . - and no layer's name")
    choices = FORMS.get(label, _CLASSES)
    form = form or choices[0]
    if form not in choices:
        raise FacetError(f"heads {label}={form}: {did_you_mean(form, choices)}")
    if label != "age" and not names:
        raise FacetError(f"label {label!r}: its classes are not known, expected a packed file with it, or class_names")
    if label not in ("age", "attributes") and len(names) < 2:
        raise FacetError(f"label {label!r}: has the one class {names[0]}, expected at least two")
    logits = f"{label}_logits"
    if form == "sigmoid":
        return BinaryHead(Output(label, "sigmoid", names), form, logits, weight)
    if form == "bins":
        return AgeBinsHead(Output(label, "linear", unit="years"), form, logits, weight)
    if label == "age":
        return YearsHead(Output(label, "linear", unit="years"), form, label, weight)
    if label == "attributes":
        bce = form == "bce"
        output = Output(label, "sigmoid" if bce else "linear", names)
        return AttributesHead(output, form, logits if bce else label, weight)
    names = (*names, UNKNOWN_NAME) if form == "softmax-unknown" else names
    kind = OrderedClassHead if label == "age_group" else ClassHead
    return kind(Output(label, "softmax", names), form, logits, weight)


def main_metric(heads: tuple[Head, ...]) -> str:
    """Gives the column of `epochs.csv` that chooses the best epoch: a label's metric, or the sum of losses."""
    return f"val_{heads[0].metric_names[0]}" if len(heads) == 1 else "val_loss"


def metric_choices(heads: tuple[Head, ...]) -> tuple[str, ...]:
    """Gives every column of `epochs.csv` that can choose the best epoch."""
    return "val_loss", *(f"val_{name}" for head in heads for name in head.metric_names)


def larger_is_better(metric: str) -> bool:
    """Says which way a column of `epochs.csv` improves."""
    return metric.endswith(("accuracy", "one_off"))
