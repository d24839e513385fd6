"""Arguments of a backbone that it does not take are told by name, with what was found and what was expected."""

import pytest

from models.backbones.arguments import check_arguments
from models.backbones.registry import BACKBONES, backbone_named

ARGUMENTS = "alpha, classes, classifier_activation, depth_multiplier, dropout, pooling"


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("vggface", {"width": "abc"}, "width is 'abc', expected a number"),
        ("vggface", {"width": True}, "width is True, expected a number"),
        ("vggface", {"output": 3}, "output is 3, expected a word"),
        (
            "vggface",
            {"width": 1, "widht": 3},
            "no argument 'widht', expected one of output, width (did you mean 'width'?)",
        ),
        ("vggface", {3: 1}, "no argument 3, expected one of output, width"),
        ("mobilenet", {"alpha": [1]}, "alpha is [1], expected a number"),
        ("mobilenet", {"depth_multiplier": 1.5}, "depth_multiplier is 1.5, expected a whole number"),
        ("mobilenet", {"input_shape": 1}, f"no argument 'input_shape', expected one of {ARGUMENTS}"),
        ("mobilenet_v3_small", {"minimalistic": 1}, "minimalistic is 1, expected true or false"),
        (
            "mobilenet_v3_small",
            {"include_preprocessing": True},
            "no argument 'include_preprocessing', expected one of alpha, classes, classifier_activation, …",
        ),
        ("resnext50", {"blocks": 3}, "blocks is 3, expected a list such as [3, 4, 6, 3]"),
        ("resnext50", {"blocks": [1, "x"]}, "blocks is [1, 'x'], expected a list such as [3, 4, 6, 3]"),
    ],
)
def test_an_argument_of_another_name_or_kind_is_refused(name, arguments, sentence):
    with pytest.raises(TypeError) as error:
        check_arguments(backbone_named(name), arguments)
    begin, more, _ = sentence.partition("…")
    assert str(error.value).startswith(begin) if more else str(error.value) == begin


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("vggface", {"width": 1, "output": "fc7"}),
        ("mobilenet", {"alpha": 0.5, "pooling": "avg"}),
        ("resnext50", {"blocks": [1, 1, 1, 1]}),
        ("resnext50", {"blocks": (1, 2)}),
        *[(name, {}) for name in sorted(BACKBONES)],
    ],
)
def test_an_argument_of_its_kind_is_taken(name, arguments):
    check_arguments(backbone_named(name), arguments)
