"""A schedule as a PyTorch user writes it: torchvision, channels-last, bfloat16 by autocast, nothing cached.

The frozen part runs without gradient, and only what trains is in the optimizer. Images come from ImageFolder through
torchvision's decoder and a DataLoader of two workers that stay, its fastest form here (see torch_reader.py); mirroring
is torchvision's own transform. Warm-up, then fine-tuning from the best warm-up epoch.

    python -m benchmarks.peers.torch_schedule '{"folder": …}'
"""

import copy
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from benchmarks.peers.schedule_job import CLASSES, ScheduleJob, Teller
from benchmarks.peers.torch_networks import backbone


class _Network(nn.Module):  # type: ignore[misc]  # PyTorch has no types here
    """Colours, the two parts of the backbone, and the head; the lower part never has gradients."""

    def __init__(self, job: ScheduleJob) -> None:
        super().__init__()
        self.lower, self.upper, channels = backbone(job)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, 256), nn.ReLU(), nn.Linear(256, 1))
        kernel, bias = job.colours
        self.register_buffer("kernel", torch.tensor(kernel).T[:, :, None, None].contiguous())
        self.register_buffer("bias", torch.tensor(bias))
        self.phase = 0

    def forward(self, images: Any) -> Any:
        with torch.no_grad():
            values = self.lower(nn.functional.conv2d(images.float(), self.kernel, self.bias))
        with torch.set_grad_enabled(self.phase == 1 and torch.is_grad_enabled()):
            values = self.upper(values)
        return self.head(values.mean((2, 3)))[:, 0]

    def trained(self) -> list[Any]:
        """Gives what the phase trains; BatchNormalization stays as it is."""
        layers = [layer for layer in self.upper.modules() if isinstance(layer, nn.Conv2d)]
        return [*self.head.parameters(), *(p for layer in layers for p in layer.parameters() if self.phase)]


def _decoded(path: str) -> torch.Tensor:
    return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)


def _loader(job: ScheduleJob, split: str) -> DataLoader[Any]:
    steps: list[Any] = [v2.Resize((job.side, job.side), antialias=False)]
    if split == "train" and job.augmentation:
        steps.append(v2.RandomHorizontalFlip())
    folder = ImageFolder(job.folder / split, v2.Compose(steps), _label_of(job, split), _decoded)
    return DataLoader(folder, job.batch, shuffle=split == "train", num_workers=2, persistent_workers=True)


def _label_of(job: ScheduleJob, split: str) -> Any:
    """Gives what turns ImageFolder's label, in the order of the folders' names, into Facet's."""
    names = sorted(path.name for path in (job.folder / split).iterdir())
    return lambda label: float(CLASSES.index(names[label]))


def _computing(job: ScheduleJob) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=job.precision != "float32")


def _epoch(job: ScheduleJob, model: _Network, loader: Any, optimizer: Any) -> tuple[float, int]:
    """Trains one epoch; gives its seconds and images."""
    model.eval()  # BatchNormalization never moves
    model.head.train()
    started, count = time.perf_counter(), 0
    for images, labels in loader:
        with _computing(job):
            scores = model(images.to(memory_format=torch.channels_last))
        loss = nn.functional.binary_cross_entropy_with_logits(scores.float(), labels.float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        count += len(images)
    return time.perf_counter() - started, count


@torch.no_grad()  # type: ignore[untyped-decorator]
def _accuracy(job: ScheduleJob, model: _Network, loader: Any) -> float:
    model.eval()
    right = count = 0
    for images, labels in loader:
        with _computing(job):
            scores = model(images.to(memory_format=torch.channels_last))
        right, count = right + int(((scores >= 0) == (labels >= 0.5)).sum()), count + len(images)
    return right / count


def train(job: ScheduleJob) -> None:
    """Trains the phases that have epochs, and tells of them."""
    torch.manual_seed(job.seed)
    teller, model = Teller(), _Network(job).to(memory_format=torch.channels_last)
    loaders = {split: _loader(job, split) for split in ("train", "validation", "test") if job.has(split)}
    best = copy.deepcopy(model.state_dict())
    for phase in (0, 1):
        model.load_state_dict(best)
        model.phase = phase
        optimizer = torch.optim.Adam(model.trained(), job.rates[phase])
        for epoch in range(1, job.epochs[phase] + 1):
            seconds, images = _epoch(job, model, loaders["train"], optimizer)
            test = (lambda: _accuracy(job, model, loaders["test"])) if "test" in loaders else None
            teller.epoch(phase, epoch, seconds, images, test)
            if "validation" not in loaders or teller.validated(_accuracy(job, model, loaders["validation"])):
                best = copy.deepcopy(model.state_dict())
    teller.end()


if __name__ == "__main__":
    train(ScheduleJob.of_command_line())
