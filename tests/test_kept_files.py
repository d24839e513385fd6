"""Files that an earlier version wrote, kept in tests/kept: every later version must give what is in them.

No file is ever made anew; a later version of the format adds its own: `python tests/test_kept_files.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import xxhash
from trees import manifest

from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.reader import HDF5Reader
from hdf5_helper.sample import SampleOptions, write_sample
from hdf5_helper.storage.file_format import VERSION

KEPT = Path(__file__).resolve().parent / "kept"
FILES = sorted(KEPT.glob("*.hdf5"))


def column(values):
    """Gives an array as JSON can hold it: its type, and its values with NaN as None."""
    listed = values.astype(object)
    listed[values != values] = None  # noqa: PLR0124 - only NaN differs from itself
    return [values.dtype.str, listed.tolist()]


def contents(path):
    """Gives everything that a reader gives of a file; pixels as the XXH3-128 of each image."""
    with HDF5Reader(path, verify="always") as reader:
        images = reader.read(np.arange(len(reader)))
        return {
            "storage": reader.storage,
            "fit": reader.fit,
            "image_size": list(reader.image_size),
            "attributes": json.loads(json.dumps(reader.attributes)),
            "labels": {name: column(reader.labels(name)) for name in reader.label_names},
            "class_names": {name: list(reader.class_names(name)) for name in reader.label_names},
            "groups": {name: column(reader.group(name)) for name in reader.groups},
            "group_names": {name: list(reader.group_names(name)) for name in reader.groups},
            "splits": {name: reader.split(name).tolist() for name in ("train", "validation", "test")},
            "subjects": column(reader.subjects),
            "subject_names": reader.subject_names,
            "folds": column(reader.folds),
            "paths": reader.paths,
            "checksums": [f"{checksum:016x}" for checksum in reader.checksums.tolist()],
            "channel_means": [[round(value, 4) for value in row] for row in reader.channel_means.tolist()],
            "digests": [reader.images_digest, reader.index_digest],
            "pixels": [xxhash.xxh3_128_hexdigest(np.ascontiguousarray(image)) for image in images],
        }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_kept_file_gives_what_it_gave_when_it_was_written(file):
    assert contents(file) == json.loads(file.with_suffix(".json").read_text())


def test_a_file_of_this_version_is_kept_for_each_storage():
    version = ".".join(map(str, VERSION))
    assert {file.stem for file in FILES} >= {f"format-{version}-{storage}" for storage in ("encoded", "raw")}


def keep(folder):
    """Writes the files of this version: PNG images, which every decoder gives alike, and pixels."""
    version = ".".join(map(str, VERSION))
    encoded, raw = (folder / f"format-{version}-{storage}.hdf5" for storage in ("encoded", "raw"))
    rows = [
        {
            "path": f"äöü/{n}.png",
            "gender": ["m", "f", ""][n % 3],
            "age": "" if n == 5 else 7.5 * n,
            "mood": ["calm", "glad", "", "sad"][n % 4],
            "camera": ["", "phone"][n % 2],
            "subject": "" if n == 7 else f"p{n // 2}",
            "fold": n % 4,
        }
        for n in range(10)
    ]
    columns = {name: name for name in ("gender", "age", "mood")}
    options = PackOptions(columns=columns, groups=("camera",), fold=3, seed=11)
    pack([manifest(folder / "tree", rows)], encoded, options)
    write_sample(folder / "celeba", SampleOptions("celeba", 12, 0, 32))
    pack([folder / "celeba"], raw, PackOptions(storage="raw", image_size=(12, 10), fit="pad", split="0.5,0.25,0.25"))
    for file in (encoded, raw):
        text = json.dumps(contents(file), indent=1, ensure_ascii=False)
        file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    import shutil
    import tempfile

    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        keep(Path(made))
        for file in Path(made).glob("format-*"):
            if not (KEPT / file.name).exists():
                shutil.copy(file, KEPT)
