import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from activation_files import key_of
from full_disks import files_no_longer_than

from hdf5_helper import HDF5Generator, HDF5Reader
from models.augmentation.applying import augmented
from models.augmentation.recipe import parse_augmentation
from models.backbones.building import build_backbone
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing
from models.training.activations.activation_file import ActivationFile
from models.training.activations.cached_feeds import CachedEvaluationFeed, CachedTrainingFeed
from models.training.activations.computing import Computer
from models.training.activations.level import Level
from models.training.activations.model_parts import between, low_cut, lower_part, top_cut
from models.training.activations.views import PLAIN, views_of
from models.training.distribution.replicas import Replicas
from models.training.feeding import EvaluationFeed, TrainingFeed

LABELS = ("gender", "age")
HEADS = heads_for(LABELS)
BATCH, EPOCHS, SIZE = 16, (1, 2, 3), 32
SHRUNK = (8, 8, 3)


class CountedTraining(TrainingFeed):
    """A training feed that counts the images that it reads."""

    read = 0

    def pixels(self, indices):
        self.read += len(indices)
        return super().pixels(indices)


class Computing:
    """A function of a block that writes down sizes and threads."""

    def __init__(self, function):
        self.function, self.sizes, self.threads = function, [], set()

    def __call__(self, inputs):
        self.sizes.append(len(inputs))
        self.threads.add(threading.current_thread())
        return self.function(inputs)


def shrunk(images):
    """Gives means of 4×4 pixels, (b, 8, 8, 3)."""
    return images.astype(np.float32).reshape(-1, 8, 4, 8, 4, 3).mean(axis=(2, 4))


def summed(low):
    return low.sum(axis=(1, 2))


@pytest.fixture(scope="module")
def file(packed):
    return packed("adience", count=250, seed=1, image_size=(SIZE, SIZE), storage="raw")


@pytest.fixture(scope="module")
def class_weights(file):
    with HDF5Reader(file) as reader:
        count = len(reader)
    return {label: np.linspace(0.5, 2, count).astype(np.float32) for label in LABELS}


@pytest.fixture
def feed_of(file, class_weights):
    """Gives `feed_of("mirror", replica=0, replicas=1)`."""
    generators = []

    def get(augment="mirror", **share):
        generators.append(HDF5Generator(file, "train", BATCH, LABELS, seed=4, **share))
        return CountedTraining(generators[-1], HEADS, class_weights, parse_augmentation(augment))

    yield get
    for generator in generators:
        generator.close()


@pytest.fixture
def said():
    return []


@pytest.fixture
def open_files(tmp_path, file, said):
    """Gives `open_files(shape, views, dtype="float32")`, closed at the end."""
    opened = []
    with HDF5Reader(file) as reader:
        rows = len(reader)

    def get(shape, views, dtype="float32"):
        keys = [key_of(rows=rows, shape=shape, view=name, dtype=dtype) for name in views.names]
        files = [ActivationFile.open(tmp_path, key, said.append) for key in keys]
        opened.extend(files)
        return tuple(files)

    yield get
    for activations in opened:
        activations.close()


@pytest.fixture
def level_of(open_files):
    """Gives `level_of(views)`, of shrunk images, or of their sums above a level."""

    def get(views, below=None, *, block=BATCH):
        shape, function = (SHRUNK, shrunk) if below is None else ((3,), summed)
        return Level(open_files(shape, views), Computing(function), below, block=block)

    return get


MIRROR = views_of(parse_augmentation("mirror"), "auto", 4, (0, 0))


def check_equal(found, expected):
    """Compares two batches in every bit."""
    assert (found.inputs.dtype, found.inputs.shape) == (expected.inputs.dtype, expected.inputs.shape)
    assert np.array_equal(found.inputs, expected.inputs)
    assert found.totals == expected.totals
    for name in ("targets", "weights", "counted"):
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.keys() == theirs.keys()
        assert all(mine[label].dtype == theirs[label].dtype for label in theirs)
        assert all(np.array_equal(mine[label], theirs[label]) for label in theirs)


def check_epochs(cached, live, function, epochs=EPOCHS):
    """Compares all batches of epochs with what `function` makes of the live feed's images."""
    for epoch in epochs:
        pairs = list(zip(cached.batches(epoch), live.batches(epoch), strict=True))
        assert len(pairs) == live.steps == cached.steps > 5
        for found, expected in pairs:
            check_equal(found, replace(expected, inputs=function(expected.inputs)))


@pytest.fixture(scope="module")
def model():
    base = build_backbone("mobilenet", (SIZE, SIZE), {"alpha": 0.25}, 3)
    return build_network(base, Preprocessing("RGB", (127.5,) * 3, 127.5), HEADS, HeadShape(), 3)


@pytest.fixture(scope="module", params=["float32", "mixed_bfloat16"])
def computers(request, model):
    """Gives (number format, images to low, low to top), real lower layers of a narrow MobileNet."""
    low, top = low_cut(model, "20"), top_cut(model)
    parts = lower_part(model, low), between(model, low, top)
    return NUMBERS[request.param], *(Computer(part, model, HEADS, Replicas(), request.param) for part in parts)


NUMBERS = {"float32": "float32", "mixed_bfloat16": "bfloat16"}


def test_cached_batches_are_in_every_bit_what_the_network_makes_of_live_ones(feed_of, open_files, computers):
    number_format, to_low, to_top = computers
    images = np.zeros((BATCH, SIZE, SIZE, 3), np.uint8)
    shapes = [to_low(images).shape[1:], to_top(to_low(images)).shape[1:]]
    low_files, top_files = (open_files(shape, MIRROR, number_format) for shape in shapes)
    low = Level(low_files, to_low, block=BATCH)
    top = Level(top_files, to_top, low, block=BATCH)
    for _ in (1, 2):  # computed, then read
        check_epochs(CachedTrainingFeed(feed_of(), top, MIRROR), feed_of(), lambda images: to_top(to_low(images)))
        check_epochs(CachedTrainingFeed(feed_of(), low, MIRROR), feed_of(), to_low)


def test_some_labels_are_unknown_and_all_weights_different(feed_of):
    batches = list(feed_of().batches(1))
    assert any(batch.totals["age"] < BATCH for batch in batches)
    assert all(len(set(batch.weights["gender"].tolist())) > BATCH / 2 for batch in batches)


@pytest.mark.parametrize(("augment", "views"), [("none", PLAIN), ("mirror", MIRROR)])
@pytest.mark.parametrize("block", [5, 16, 40])
def test_the_size_of_blocks_changes_no_batch(feed_of, level_of, augment, views, block):
    level = level_of(views, block=block)
    check_epochs(CachedTrainingFeed(feed_of(augment), level, views), feed_of(augment), shrunk)
    assert set(level._compute.sizes) == {block}


def test_a_second_training_computes_nothing_and_reads_no_image(feed_of, level_of):
    check_epochs(CachedTrainingFeed(feed_of(), level_of(MIRROR), MIRROR), feed_of(), shrunk)
    level, feed, filled = level_of(MIRROR), feed_of(), []
    check_epochs(CachedTrainingFeed(feed, level, MIRROR, filled.append), feed_of(), shrunk)
    assert (level._compute.sizes, filled, feed.read) == ([], [], 0)


def test_rows_of_later_batches_complete_a_block_and_each_image_is_read_once(feed_of, level_of):
    level, feed, filled = level_of(PLAIN, block=40), feed_of("none"), []
    cached = CachedTrainingFeed(feed, level, PLAIN, filled.append)
    batches = cached.batches(1)
    next(batches)
    assert filled == [40]
    for _ in batches:
        pass
    rows = cached.steps * BATCH
    assert filled == [40] * (rows // 40) + [rows % 40] * (rows % 40 > 0)
    assert feed.read == rows


def test_computing_happens_on_the_thread_that_takes_the_batches(feed_of, level_of):
    level = level_of(MIRROR)
    for _ in CachedTrainingFeed(feed_of(), level, MIRROR).batches(1):
        pass
    assert level._compute.threads == {threading.current_thread()}


def test_a_row_that_nobody_needs_soon_fills_up_no_block(feed_of, level_of):
    feed = feed_of("none")
    level, rows = level_of(PLAIN, block=2), np.arange(len(feed._class_weights["age"]))
    missing = [feed.indices(1, step)[0] for step in (0, feed.steps - 1)]  # over 16 blocks apart
    kept = np.setdiff1d(rows, missing)
    level.compute(kept, np.zeros_like(kept), lambda rows, _views: feed.pixels(rows))
    filled = []
    check_epochs(CachedTrainingFeed(feed, level, PLAIN, filled.append), feed_of("none"), shrunk, (1,))
    assert filled == [1, 1]


def test_filling_goes_on_where_it_was_left(feed_of, level_of):
    filled, feed = [], feed_of("none")
    batches = CachedTrainingFeed(feed, level_of(PLAIN), PLAIN, filled.append).batches(1)
    for _ in range(3):
        next(batches)
    batches.close()
    assert sum(filled) == 3 * BATCH
    again = CachedTrainingFeed(feed_of("none"), level_of(PLAIN), PLAIN, filled.append)
    check_epochs(again, feed_of("none"), shrunk, (1,))
    assert sum(filled) == again.steps * BATCH


def test_an_epoch_is_gone_on_with_at_any_step(feed_of, level_of):
    live = list(feed_of().batches(2))[4:]
    found = list(CachedTrainingFeed(feed_of(), level_of(MIRROR), MIRROR).batches(2, 4))
    for mine, theirs in zip(found, live, strict=True):
        check_equal(mine, replace(theirs, inputs=shrunk(theirs.inputs)))
    assert list(CachedTrainingFeed(feed_of(), level_of(MIRROR), MIRROR).batches(2, len(live) + 4)) == []


def test_damaged_rows_are_computed_again(feed_of, level_of, open_files, said):
    check_epochs(CachedTrainingFeed(feed_of("none"), level_of(PLAIN), PLAIN), feed_of("none"), shrunk, (1,))
    (activations,) = open_files(SHRUNK, PLAIN)
    rows = feed_of("none").indices(1, 2)[:3]
    content = bytearray(activations.path.read_bytes())
    for place in activations._places(rows).tolist():
        content[place + 5] ^= 1
    activations.path.write_bytes(content)
    filled = []
    again = CachedTrainingFeed(feed_of("none"), level_of(PLAIN), PLAIN, filled.append)
    check_epochs(again, feed_of("none"), shrunk, (1,))
    assert filled == [3]
    assert [sentence.partition(": ")[2] for sentence in said] == [
        "3 rows are damaged and computed again, as are any others found so"
    ]


def test_on_a_full_disk_every_batch_is_right_in_every_epoch(feed_of, level_of, said):
    level, feed = level_of(MIRROR, block=40), feed_of()
    with files_no_longer_than(4096):
        check_epochs(CachedTrainingFeed(feed, level, MIRROR), feed_of(), shrunk)
    assert feed.read == len(EPOCHS) * feed.steps * BATCH
    assert len(said) == 2


def test_an_upper_level_is_filled_from_the_lower_one_without_an_image(feed_of, level_of):
    low = level_of(MIRROR)
    check_epochs(CachedTrainingFeed(feed_of(), low, MIRROR), feed_of(), shrunk)
    feed, blocks = feed_of(), len(low._compute.sizes)
    check_epochs(CachedTrainingFeed(feed, level_of(MIRROR, low), MIRROR), feed_of(), lambda i: summed(shrunk(i)))
    assert (feed.read, len(low._compute.sizes)) == (0, blocks)


def test_filling_an_upper_level_fills_the_lower_one(feed_of, level_of):
    top = level_of(MIRROR, level_of(MIRROR))
    check_epochs(CachedTrainingFeed(feed_of(), top, MIRROR), feed_of(), lambda images: summed(shrunk(images)))
    feed = feed_of()
    check_epochs(CachedTrainingFeed(feed, level_of(MIRROR), MIRROR), feed_of(), shrunk)
    assert feed.read == 0


def test_seeded_views_are_augmented_images_that_come_again(feed_of, level_of):
    augmentation = parse_augmentation("afad")
    views = views_of(augmentation, "2", 4, (0, 0))
    feed, filled = feed_of("afad"), []
    cached = CachedTrainingFeed(feed, level_of(views), views, filled.append)
    for epoch in range(1, 9):
        for step, batch in enumerate(cached.batches(epoch)):
            rows = feed.indices(epoch, step)
            seen = views.of(epoch, rows)
            either = [augmented(feed_of().pixels(rows), augmentation, 4, 1 + view, rows) for view in (0, 1)]
            expected = shrunk(np.where(seen[:, None, None, None] == 0, *either))
            check_equal(batch, feed.labelled(epoch, step, expected))
    assert 0 < sum(filled) <= 2 * len(feed._generator.order.rows)
    filled.clear()
    list(cached.batches(1))
    assert filled == []


def test_each_worker_computes_its_own_share(feed_of, level_of):
    whole = feed_of()
    expected = [replace(batch, inputs=shrunk(batch.inputs)) for batch in whole.batches(1)]
    for replica in (0, 1):
        half, filled = slice(replica * 8, (replica + 1) * 8), []
        feed = feed_of(replica=replica, replicas=2)
        found = list(CachedTrainingFeed(feed, level_of(MIRROR), MIRROR, filled.append).batches(1))
        assert [batch.totals for batch in found] == [batch.totals for batch in expected]
        assert all(np.array_equal(f.inputs, e.inputs[half]) for f, e in zip(found, expected, strict=True))
        assert sum(filled) == feed.read == whole.steps * 8


def test_leaving_early_ends_the_threads_and_only_little_was_read_ahead(feed_of, level_of):
    feed = feed_of()
    batches = CachedTrainingFeed(feed, level_of(MIRROR), MIRROR).batches(1)
    next(batches)
    while feed.read < 4 * BATCH:  # its own, two ahead, and as many as a block may hold
        time.sleep(0.01)
    time.sleep(0.2)
    del batches
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("facet-ahead")]
    assert feed.read == 4 * BATCH < feed.steps * BATCH


def test_an_error_of_reading_comes_to_whoever_takes_the_batches(feed_of, level_of):
    feed = feed_of()
    feed._generator.close()
    with pytest.raises(ValueError, match="released"):
        next(CachedTrainingFeed(feed, level_of(MIRROR), MIRROR).batches(1))


@pytest.mark.parametrize(("workers", "count"), [(1, 37), (2, 37), (2, 34), (1, 32), (2, 3)])
def test_validation_is_cached_with_its_padded_rows(file, level_of, workers, count):
    with HDF5Reader(file) as reader:
        rows, filled = reader.split("train")[5 : 5 + count], []
        for worker in range(workers):
            live = EvaluationFeed(reader, rows, HEADS, BATCH, worker=worker, workers=workers)
            cached = CachedEvaluationFeed(live, level_of(PLAIN), filled.append)
            assert (cached.steps, cached.count, cached.batch_size) == (live.steps, count, BATCH)
            for found, expected in zip(cached.batches(), live.batches(), strict=True):
                check_equal(found, replace(expected, inputs=shrunk(expected.inputs)))
        assert sum(filled) == count
        again = CachedEvaluationFeed(live, level_of(PLAIN), filled.append)
        assert len(list(again.batches())) == again.steps
        assert sum(filled) == count
