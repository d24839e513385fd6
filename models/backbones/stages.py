"""Named stages of a backbone, found by the names of its layers."""

import re
from typing import Any

#: (what a layer's name matches, the stage that begins with it); what matches nothing belongs to the stage below.
_BEGINNINGS = tuple(
    (re.compile(pattern), stage)
    for pattern, stage in (
        (
            r"(?:conv1|Conv1|conv|stem_conv|stem_conv_pad|.*_stem)$",
            "stem",
        ),  # MobileNets, ResNeXt, EfficientNet, ConvNeXt
        (r"(?:Conv_1|conv_1|top_conv)$", "top"),  # MobileNetV2 and V3, EfficientNet
        (r"block(\d+)(?:[a-z]_|_conv|_sepconv)", r"block\1"),  # VGG, Xception, EfficientNet
        (r"conv_(?:pad|dw)_(\d+)$", r"block\1"),  # MobileNet
        (r"(?:block|expanded_conv)_(\d+)_", r"block\1"),  # MobileNetV2 and V3
        (r"expanded_conv_", "block0"),
        (r"layer(\d+)_\d", r"layer\1"),  # ResNeXt
        (r".*_stage_(\d+)_", r"stage\1"),  # ConvNeXt
        (r"conv(\d)_(?:pad|conv|block\d|\d)", r"conv\1"),  # ResNet, DenseNet, VGG-Face
        (r"(fc\d)$", r"\1"),  # VGG-Face
    )
)


def stages_of(model: Any) -> dict[str, str]:
    """Gives each stage's first layer, from below; nothing for families whose layers' names tell no stages.

    Args:
        model: a keras.Model such as `build_backbone` or `keras.applications` gives it.
    """
    found: dict[str, str] = {}
    for layer in model.layers:
        stage = _beginning(layer.name)
        if stage:
            found.setdefault(stage, layer.name)
    return found


def _beginning(layer: str) -> str:
    matches = ((pattern.match(layer), stage) for pattern, stage in _BEGINNINGS)
    return next((match.expand(stage) for match, stage in matches if match), "")
