"""Backbones for PyTorch: torchvision's VGG19, and MobileNet 1, which torchvision lacks, with Keras's own weights."""

import re
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn
from torchvision.models import vgg19

from benchmarks.peers.schedule_job import ScheduleJob

#: (channels, stride) of the blocks behind the first convolution (Howard et al. 2017, table 1).
_BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *(((512, 1),) * 5),
    *((1024, 2), (1024, 1)),
)

#: Keras counts these layers from the top: of MobileNet `dw_relu` under the last block of `pw, bn, relu`.
_Layers = list[tuple[str, nn.Module]]


def backbone(job: ScheduleJob) -> tuple[nn.Sequential, nn.Sequential, int]:
    """Gives the part that stays frozen, the part above it that fine-tuning trains, and the channels on top."""
    layers, channels = _mobilenet(job) if job.backbone == "mobilenet" else _vgg19(job)
    # Keras lists an input layer first, which counts for nothing from the top
    place = len(layers) - job.trained_layers
    lower, upper = layers[:place], layers[place:]
    return (
        nn.Sequential(*(layer for _kind, layer in lower)),
        nn.Sequential(*(layer for _kind, layer in upper)),
        channels,
    )


def _vgg19(job: ScheduleJob) -> tuple[_Layers, int]:
    """Gives VGG19's layers as Keras counts them: a convolution and its ReLU are one."""
    if job.weights != "none":
        raise ImportError("vgg19 with a Keras weights file: this peer takes none")
    found: _Layers = []
    for layer in vgg19(weights=None).features:
        if isinstance(layer, nn.ReLU):
            found[-1] = ("conv", nn.Sequential(found[-1][1], layer))
        else:
            found.append(("conv" if isinstance(layer, nn.Conv2d) else "pool", layer))
    return found, 512


def _mobilenet(job: ScheduleJob) -> tuple[_Layers, int]:
    width = [int(channels * job.alpha) for channels, _stride in _BLOCKS]
    inner = int(32 * job.alpha)
    layers = _convolution("conv", 3, inner, 3, 2)
    for (_channels, stride), outer in zip(_BLOCKS, width, strict=True):
        layers += _convolution("depthwise", inner, inner, 3, stride)
        layers += _convolution("conv", inner, outer, 1, 1)
        inner = outer
    if job.weights != "none":
        _load(layers, job.weights)
    return layers, inner


class _SamePadding(nn.Module):  # type: ignore[misc]  # PyTorch has no types here
    """Pads right and below alone, as Keras's MobileNet does before a convolution of stride 2."""

    def forward(self, values: Any) -> Any:
        return nn.functional.pad(values, (0, 1, 0, 1))


def _convolution(kind: str, inner: int, outer: int, side: int, stride: int) -> _Layers:
    groups = inner if kind == "depthwise" else 1
    padding = 0 if stride == 2 else side // 2
    convolution = nn.Conv2d(inner, outer, side, stride, padding, groups=groups, bias=False)
    padded: _Layers = [("padding", _SamePadding())] if stride == 2 else []
    return [*padded, (kind, convolution), ("norm", nn.BatchNorm2d(outer, eps=1e-3)), ("relu", nn.ReLU6())]


def _load(layers: _Layers, path: str) -> None:
    """Fills the layers from a `.weights.h5` of Keras, whose layers of a kind are numbered from below."""
    groups = {"conv": "conv2d", "depthwise": "depthwise_conv2d", "norm": "batch_normalization"}
    with h5py.File(path, "r") as file:
        for kind, group in groups.items():
            names = [name for name in file["layers"] if re.fullmatch(rf"{group}(_\d+)?", name)]
            names.sort(key=lambda name: int(re.search(r"(\d*)$", name.removeprefix(group))[1] or 0))  # type: ignore[index]
            mine = [layer for found, layer in layers if found == kind]
            for name, layer in zip(names, mine, strict=True):
                stored = file[f"layers/{name}/vars"]
                _fill(kind, layer, [np.asarray(stored[key]) for key in sorted(stored, key=int)])


def _fill(kind: str, layer: Any, arrays: list[Any]) -> None:
    with torch.no_grad():
        if kind == "norm":
            for target, array in zip(
                (layer.weight, layer.bias, layer.running_mean, layer.running_var), arrays, strict=True
            ):
                target.copy_(torch.from_numpy(array))
            return
        # Keras: (height, width, in, out), of depthwise ones (height, width, channels, 1)
        order = (2, 3, 0, 1) if kind == "depthwise" else (3, 2, 0, 1)
        layer.weight.copy_(torch.from_numpy(arrays[0].transpose(order).copy()))
