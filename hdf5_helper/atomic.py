"""Write whole or not at all: a file is made beside its final name, fsynced and renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` durable; where folders cannot be fsynced (Windows) the rename has to do."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Makes the contents of `path` durable."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def beside(path: Path) -> Path:
    """Gives the name under which a file is made: hidden, with the final name's suffix (Keras chooses formats by it)."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; on success it replaces `path`, on any failure it is removed.

    Args:
        path: final name. A file already there stays as it is until the new one is complete.

    Yields:
        The temporary path in the same folder, see `beside`.
    """
    part = beside(path)
    try:
        yield part
        sync_file(part)
        part.replace(path)
        sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Makes `folder` and what is missing above it; on any failure those that it made are removed, if empty."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in missing:
            with suppress(OSError):  # what somebody else put there stays
                place.rmdir()
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces the contents of `path` by `text` (UTF-8), whole or not at all."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the contents of `path` by `data`, whole or not at all."""
    with written_whole(path) as part:
        part.write_bytes(data)
