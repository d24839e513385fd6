import numpy as np
import pytest

from hdf5_helper import HDF5Generator, HDF5Reader
from models.training.feeding import EvaluationFeed, TrainingFeed, make_batch, mirrored


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, storage="raw", image_size=(32, 32))


def test_unknown_labels_weigh_nothing():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    labels = {"gender": np.array([1, 255, 0], np.uint8), "age": np.array([np.nan, 30, 40], np.float32)}
    batch = make_batch(images, labels, {"gender": np.full(3, 2, np.float32), "age": np.ones(3, np.float32)})
    assert {name: values.tolist() for name, values in batch.targets.items()} == {
        "gender": [1, 0, 0],
        "age": [0, 30, 40],
    }
    assert {name: values.tolist() for name, values in batch.weights.items()} == {"gender": [2, 0, 2], "age": [0, 1, 1]}
    assert {name: values.tolist() for name, values in batch.counted.items()} == {"gender": [1, 0, 1], "age": [0, 1, 1]}


def test_half_of_the_images_are_mirrored_and_another_half_in_another_epoch():
    images = np.arange(1000 * 6, dtype=np.uint16).astype(np.uint8).reshape(1000, 1, 2, 3)
    indices = np.arange(1000)
    first, second = (mirrored(images.copy(), 0, epoch, indices) for epoch in (1, 2))
    flipped = [(result == images[:, :, ::-1]).all(axis=(1, 2, 3)) for result in (first, second)]
    kept = (first == images).all(axis=(1, 2, 3))
    assert (flipped[0] != kept).all()
    assert 420 < flipped[0].sum() < 580  # 500 expected, standard deviation 16
    assert 420 < (flipped[0] != flipped[1]).sum() < 580


def test_mirroring_depends_on_the_example_and_not_on_its_batch():
    images = np.arange(20 * 6, dtype=np.uint8).reshape(20, 1, 2, 3)
    whole = mirrored(images.copy(), 7, 3, np.arange(20))
    assert np.array_equal(mirrored(images[5:9].copy(), 7, 3, np.arange(5, 9)), whole[5:9])


def test_a_training_batch_is_the_same_however_it_is_reached(file):
    with HDF5Generator(file, "train", 16) as generator:
        feed = TrainingFeed(generator, {"gender": np.ones(120, np.float32)}, "mirror")
        from_start = list(feed.batches(2))
        from_middle = list(feed.batches(2, 2))
    for left, right in zip(from_start[2:], from_middle, strict=True):
        assert np.array_equal(left.images, right.images)
        assert np.array_equal(left.targets["gender"], right.targets["gender"])


def test_evaluation_counts_every_row_once_and_pads_the_last_batch_with_weight_zero(file):
    with HDF5Reader(file) as reader:
        rows = reader.split("test")[:10]
        batches = list(EvaluationFeed(reader, rows, ("gender",), 8).batches())
        expected = reader.labels("gender")[rows].astype(np.float32).tolist()
    assert [batch.counted["gender"].tolist() for batch in batches] == [[1] * 8, [1, 1] + [0] * 6]
    assert [len(batch.images) for batch in batches] == [8, 8]
    targets = np.concatenate([batch.targets["gender"] for batch in batches])
    assert targets[:10].tolist() == expected
