"""PyTorch's DataLoader over torchvision's ImageFolder, two workers that stay; the variant chooses the decoder.

`pil` is ImageFolder's default. `torchvision` reads and decodes with torchvision.io, the fastest found: 8,600 images/s
against 6,000, with resizing 5,600 against 3,100; 2 batches ahead a worker were as fast as 8, or faster.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import v2

from benchmarks.peers.job import BATCH, Job
from benchmarks.peers.serving import Epoch, serve_reading


def _decoded(path: str) -> torch.Tensor:
    return decode_jpeg(read_file(path), mode=ImageReadMode.RGB)


def open_epochs(job: Job) -> Epoch:
    """Lists the folder of classes; images come out uint8 (3, H, W)."""
    steps = [v2.Resize((job.side, job.side))] if job.task == "resize" else []
    if job.variant == "torchvision":
        folder = ImageFolder(job.work / "classes", v2.Compose(steps) if steps else None, loader=_decoded)
    else:
        folder = ImageFolder(job.work / "classes", v2.Compose([*steps, v2.PILToTensor()]))
    loader = DataLoader(folder, BATCH, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True)

    def epoch() -> Iterable[tuple[Any, Any]]:
        batches: Iterable[tuple[Any, Any]] = loader
        return batches

    return epoch


if __name__ == "__main__":
    serve_reading(open_epochs)
