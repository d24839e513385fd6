"""What is in a packed file, as values that fit into JSON."""

from typing import Any

import numpy as np

from hdf5_helper.inspecting.counts import count_groups, count_labels, weigh_labels
from hdf5_helper.inspecting.sides import count_identical, count_subjects
from hdf5_helper.reading.reader import HDF5Reader

Values = dict[str, Any]

#: How many image sizes are listed with their counts, the most frequent first.
_MOST_SIZES = 5


def summarize(reader: HDF5Reader) -> Values:
    """Gives everything that `facet inspect` says about a file; nothing is read but the index.

    Returns:
        A dict for JSON:

        - `path`, `bytes`, `examples`, `storage`, `fit`, `image_size` ([height, width] or None), `creation` (the root
          attributes), `images_digest`, `index_digest`;
        - `image_sizes`: `different` (count), `smallest` and `largest` by area ([height, width]), `shorter_side` (pixels
          at 0, 10, 50, 90 and 100 % of the examples), `most_frequent` (up to five [height, width, count]);
        - `splits`: for each its `examples`, `labels` and `groups`; `labels` and `groups` of all examples; counts as in
          `count_labels` and `count_groups`;
        - `balanced_weights`: what `--class-weights balanced` makes of the train split, as in `weigh_labels`;
        - `subjects`: as in `count_subjects`. `in_several_splits` are the persons on two sides, and
          `seen_before.test` says how many `persons` of the test split are in train or validation too, and how many
          `examples` out of (`of`) the test split they cover;
        - `duplicates`: as in `count_identical`. `pairs_across_splits` are two examples of the same bytes on two sides.
    """
    splits = {name: reader.split(name) for name in reader.splits}
    everything = np.arange(len(reader))
    return {
        "path": str(reader.path),
        "bytes": reader.path.stat().st_size,
        "examples": len(reader),
        "storage": reader.storage,
        "fit": reader.fit,
        "image_size": list(reader.image_size) if reader.image_size else None,
        "image_sizes": _image_sizes(reader),
        "creation": dict(sorted(reader.attributes.items())),
        "images_digest": reader.images_digest,
        "index_digest": reader.index_digest,
        "splits": {
            name: {"examples": len(rows), "labels": count_labels(reader, rows), "groups": count_groups(reader, rows)}
            for name, rows in splits.items()
        },
        "labels": count_labels(reader, everything),
        "groups": count_groups(reader, everything),
        "balanced_weights": weigh_labels(reader, reader.split("train")),
        "subjects": count_subjects(reader),
        "duplicates": count_identical(reader),
    }


def _image_sizes(reader: HDF5Reader) -> Values:
    sizes, counts = np.unique(reader.image_sizes(), axis=0, return_counts=True)
    areas = sizes.prod(axis=1)
    often = np.argsort(-counts, kind="stable")[:_MOST_SIZES]
    sides = np.repeat(sizes.min(axis=1), counts)
    return {
        "different": len(sizes),
        "smallest": sizes[int(areas.argmin())].tolist(),
        "largest": sizes[int(areas.argmax())].tolist(),
        "shorter_side": {
            f"{share} %": int(np.quantile(sides, share / 100, method="nearest")) for share in (0, 10, 50, 90, 100)
        },
        "most_frequent": [[*sizes[number].tolist(), int(counts[number])] for number in often.tolist()],
    }
