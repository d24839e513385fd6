"""ResNeXt as torchvision's resnet.py defines it, written out in NumPy on a state dict: (N, C, H, W), kernels OIHW."""

import numpy as np

#: torch.nn.BatchNorm2d's.
EPSILON = 1e-5


def forward(images, state, blocks, groups):
    """Gives the last feature map, (N, C, h, w) float64, of images (N, 3, H, W)."""
    values = maximum(relu(normalised(convolved(images, state["conv1.weight"], 2, 3), state, "bn1")))
    for stage, depth in enumerate(blocks, start=1):
        for number in range(depth):
            stride = 2 if stage > 1 and not number else 1
            values = bottleneck(values, state, f"layer{stage}.{number}", stride, groups)
    return values


def bottleneck(values, state, name, stride, groups):
    """`Bottleneck.forward`: the stride and the groups are in the 3×3 convolution."""
    weight = lambda part: state[f"{name}.{part}.weight"]  # noqa: E731
    out = relu(normalised(convolved(values, weight("conv1")), state, f"{name}.bn1"))
    out = relu(normalised(convolved(out, weight("conv2"), stride, 1, groups), state, f"{name}.bn2"))
    out = normalised(convolved(out, weight("conv3")), state, f"{name}.bn3")
    if f"{name}.downsample.0.weight" in state:
        values = normalised(convolved(values, weight("downsample.0"), stride), state, f"{name}.downsample.1")
    return relu(out + values)


def convolved(images, kernel, stride=1, pad=0, groups=1):
    """`Conv2d` without bias: zeros on all four sides, each group of outputs sees its own group of inputs."""
    images = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    outputs, inside, side, _ = kernel.shape
    length = (images.shape[2] - side) // stride + 1
    found = np.zeros((len(images), outputs, length, length))
    for output in range(outputs):
        first = output // (outputs // groups) * inside
        for channel, y, x in np.ndindex(inside, side, side):
            rows, columns = slice(y, y + stride * length, stride), slice(x, x + stride * length, stride)
            part = images[:, first + channel, rows, columns][:, :length, :length]
            found[:, output] += kernel[output, channel, y, x] * part
    return found


def normalised(values, state, name):
    """`BatchNorm2d` in evaluation."""
    gamma, beta, mean, variance = (
        state[f"{name}.{role}"].reshape(-1, 1, 1) for role in ("weight", "bias", "running_mean", "running_var")
    )
    return gamma * (values - mean) / np.sqrt(variance + EPSILON) + beta


def maximum(values):
    """`MaxPool2d(3, 2, padding=1)`, which pads with minus infinity."""
    padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    length = (values.shape[2] - 1) // 2 + 1
    cuts = [slice(first, first + 2 * length - 1, 2) for first in range(3)]
    return np.max([padded[:, :, rows, columns] for rows in cuts for columns in cuts], axis=0)


def relu(values):
    """Gives the positive part."""
    return np.maximum(values, 0)
