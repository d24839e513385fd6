import numpy as np
import pytest

from hdf5_helper import HDF5Generator, HDF5Reader
from models.augmentation.recipe import RECIPES, parse_augmentation
from models.heads.choosing import heads_for
from models.training.feeding import EvaluationFeed, TrainingFeed, make_batch

GENDER = heads_for(("gender",))
ONES = {"gender": np.ones(120, np.float32)}


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, storage="raw", image_size=(32, 32))


def test_unknown_labels_weigh_nothing():
    images = np.zeros((3, 2, 2, 3), np.uint8)
    labels = {"gender": np.array([1, 255, 0], np.uint8), "age": np.array([np.nan, 30, 40], np.float32)}
    heads = heads_for(("gender", "age"))
    batch = make_batch(images, labels, heads, {"gender": np.full(3, 2, np.float32), "age": np.ones(3, np.float32)})
    assert {name: values.tolist() for name, values in batch.targets.items()} == {
        "gender": [1, 0, 0],
        "age": [0, 30, 40],
    }
    assert {name: values.tolist() for name, values in batch.weights.items()} == {"gender": [2, 0, 2], "age": [0, 1, 1]}
    assert {name: values.tolist() for name, values in batch.counted.items()} == {"gender": [1, 0, 1], "age": [0, 1, 1]}


def test_a_training_batch_is_the_same_however_it_is_reached(file):
    with HDF5Generator(file, "train", 16) as generator:
        feed = TrainingFeed(generator, GENDER, ONES, RECIPES["mirror"])
        from_start = list(feed.batches(2))
        from_middle = list(feed.batches(2, 2))
    for left, right in zip(from_start[2:], from_middle, strict=True):
        assert np.array_equal(left.inputs, right.inputs)
        assert np.array_equal(left.targets["gender"], right.targets["gender"])


def test_evaluation_counts_every_row_once_and_pads_the_last_batch_with_weight_zero(file):
    with HDF5Reader(file) as reader:
        rows = reader.split("test")[:10]
        batches = list(EvaluationFeed(reader, rows, GENDER, 8).batches())
        expected = reader.labels("gender")[rows].astype(np.float32).tolist()
    assert [batch.counted["gender"].tolist() for batch in batches] == [[1] * 8, [1, 1] + [0] * 6]
    assert [len(batch.inputs) for batch in batches] == [8, 8]
    targets = np.concatenate([batch.targets["gender"] for batch in batches])
    assert targets[:10].tolist() == expected


def test_each_attribute_is_known_and_weighted_by_itself():
    heads = heads_for(("attributes",), {"attributes": ("Smiling", "Hat")}, {"attributes": "mse"})
    labels = {"attributes": np.array([[1, 0], [-1, 1]], np.int8)}
    batch = make_batch(np.zeros((2, 2, 2, 3), np.uint8), labels, heads, {"attributes": np.array([1, 3], np.float32)})
    found = [values["attributes"].tolist() for values in (batch.targets, batch.counted, batch.weights)]
    assert found == [[[1, 0], [-1, 1]], [[1, 0], [1, 1]], [[1, 0], [3, 3]]]
    assert batch.totals == {"attributes": 3}


def mixed_and_plain(file, labels=("gender",), text="mixup=0.4"):
    heads = heads_for(labels)
    weights = {label: np.ones(120, np.float32) for label in labels}
    with HDF5Generator(file, "train", 16, labels) as generator:
        batches = [
            TrainingFeed(generator, heads, weights, parse_augmentation(recipe)).batch(1, 0) for recipe in (text, "none")
        ]
        return *batches, generator.indices(1, 0)


def test_a_mixed_example_keeps_at_least_half_of_itself_in_image_and_target(file):
    mixed, plain, _ = mixed_and_plain(file)
    assert not np.array_equal(mixed.inputs, plain.inputs)
    assert np.array_equal(mixed.targets["gender"] > 0.5, plain.targets["gender"] > 0.5)
    assert (mixed.targets["gender"] != plain.targets["gender"]).any()
    assert mixed.totals == plain.totals


def test_an_example_is_mixed_with_the_same_partner_whoever_reads_it(file):
    whole, _, indices = mixed_and_plain(file)
    parts = []
    for replica in (0, 1):
        with HDF5Generator(file, "train", 16, "gender", replica=replica, replicas=2) as generator:
            feed = TrainingFeed(generator, GENDER, ONES, parse_augmentation("mixup=0.4"))
            parts += list(zip(generator.indices(1, 0), feed.batch(1, 0).inputs, strict=True))
    found = {int(row): image for row, image in parts}
    assert sorted(found) == sorted(indices.tolist())
    assert all(np.array_equal(found[int(row)], image) for row, image in zip(indices, whole.inputs, strict=True))


def test_a_random_window_is_the_image_moved_by_at_most_the_margin(file):
    with HDF5Generator(file, "train", 16, "gender") as generator:
        feeds = [TrainingFeed(generator, GENDER, ONES, parse_augmentation(t), (4, 4)) for t in ("crop=true", "none")]
        moved, plain = (feed.batch(1, 0).inputs for feed in feeds)
    windows = [
        any(
            np.array_equal(image[4:-4, 4:-4], whole[down : down + 24, right : right + 24])
            for down in range(9)
            for right in range(9)
        )
        for image, whole in zip(moved, plain, strict=True)
    ]
    assert all(windows)
    assert not np.array_equal(moved, plain)


def test_the_loss_of_mixed_examples_is_divided_by_those_that_both_know(packed):
    labels = ("gender", "age")
    with HDF5Generator(packed("adience", count=200, seed=1), "train", 32, labels, image_size=(32, 32)) as generator:
        weights = {label: np.ones(len(generator.reader), np.float32) for label in labels}
        feed = TrainingFeed(generator, heads_for(labels), weights, parse_augmentation("mixup=0.4"))
        batch = feed.batch(1, 0)
    assert batch.totals == {label: counted.sum() for label, counted in batch.counted.items()}
    assert 0 < batch.totals["age"] < 32
