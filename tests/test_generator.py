import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from trees import manifest

from hdf5_helper import HDF5Generator, HDF5Reader
from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.reading.arguments import check_reading


@pytest.fixture(scope="module")
def file(packed):
    return packed("agegender", count=120, storage="raw", image_size=(32, 32))


def equal(left, right):
    return np.array_equal(left[0], right[0]) and all(np.array_equal(left[1][k], right[1][k]) for k in right[1])


def test_batches_are_the_rows_of_the_order_with_their_labels(file):
    with HDF5Generator(file, "train", 16, ("gender", "age"), seed=3) as generator, HDF5Reader(file) as reader:
        images, labels = next(iter(generator))
        rows = generator.order.batch(1, 0)
        assert (images.shape, images.dtype) == ((16, 32, 32, 3), np.uint8)
        assert np.array_equal(images, reader.read(rows))
        assert {name: values.tolist() for name, values in labels.items()} == {
            "gender": reader.labels("gender")[rows].tolist(),
            "age": reader.labels("age")[rows].tolist(),
        }


def test_one_label_by_name_gives_an_array(file):
    with HDF5Generator(file, "train", 16, "gender") as generator:
        images, genders = next(iter(generator))
    assert (len(images), genders.dtype, genders.shape) == (16, np.uint8, (16,))


def test_an_iteration_ends_after_its_epochs(file):
    with HDF5Generator(file, "train", 16, epochs=2) as generator:
        assert sum(1 for _ in generator) == 2 * generator.steps_per_epoch == 2 * len(generator)


def test_a_restored_generator_gives_what_the_first_would_have_given_at_every_step(file):
    with HDF5Generator(file, "train", 16, seed=1, epochs=2) as generator:
        states, batches = [], []
        states.append(generator.state())
        for batch in generator:
            batches.append(batch)
            states.append(generator.state())
    for place in range(len(batches)):
        with HDF5Generator(file, "train", 16, seed=1, epochs=2) as later:
            later.restore(states[place])
            rest = list(later)
        assert len(rest) == len(batches) - place
        assert all(equal(*pair) for pair in zip(rest, batches[place:], strict=True))


def test_a_state_is_three_integers(file):
    with HDF5Generator(file, "train", 16, seed=5) as generator:
        next(iter(generator))
        assert generator.state() == {"seed": 5, "epoch": 1, "step": 1}


@pytest.mark.parametrize("shuffle", ["full", "blocks", None])
@pytest.mark.parametrize("replicas", [1, 2, 4, 8])
def test_replicas_share_the_same_global_batches_without_gaps_or_repeats(file, replicas, shuffle):
    arguments = {"seed": 2, "shuffle": shuffle}
    with HDF5Generator(file, "train", 16, **arguments) as whole:
        parts = [HDF5Generator(file, "train", 16, replica=k, replicas=replicas, **arguments) for k in range(replicas)]
        for epoch in (1, 3):
            for step in range(whole.steps_per_epoch):
                together = np.concatenate([part.indices(epoch, step) for part in parts])
                assert together.tolist() == whole.indices(epoch, step).tolist()
        for part in parts:
            assert part.steps_per_epoch == whole.steps_per_epoch
            part.close()


def test_a_state_goes_on_under_another_number_of_replicas(file):
    with HDF5Generator(file, "train", 16, seed=2, epochs=2) as one:
        batches = list(one)
    pair = [HDF5Generator(file, "train", 16, seed=2, epochs=2, replica=k, replicas=2) for k in range(2)]
    seen = [next(zip(*map(iter, pair), strict=True)) for _ in range(3)]
    with HDF5Generator(file, "train", 16, seed=2, epochs=2) as later:
        later.restore(pair[1].state())
        rest = list(later)
    for part in pair:
        part.close()
    halves = [np.concatenate([part[0] for part in parts]) for parts in seen]
    assert all(np.array_equal(half, batch[0]) for half, batch in zip(halves, batches, strict=False))
    assert len(rest) == len(batches) - 3
    assert all(equal(*both) for both in zip(rest, batches[3:], strict=True))


def test_a_split_smaller_than_a_batch_gives_the_largest_batch_and_says_so(half_known):
    sentence = f"{half_known}: its train split has 12 examples, so batches are of 10 instead of 20"
    with pytest.warns(UserWarning, match=re.escape(sentence)) as said:
        generator = HDF5Generator(half_known, "train", 20, ("gender", "id"), replicas=5, replica=4)
    with generator:
        assert (generator.batch_size, generator.steps_per_epoch) == (10, 1)
        assert generator.batch(1, 0)[0].shape == (2, 40, 32, 3)
    assert [warning.filename for warning in said] == [__file__]


def test_unshuffled_batches_may_be_larger_than_the_split(half_known):
    with HDF5Generator(half_known, "train", 100, "id", shuffle=None, epochs=1) as generator:
        assert [len(ids) for _images, ids in generator] == [12]


def test_unshuffled_batches_follow_the_file_to_its_end(file):
    with HDF5Generator(file, "test", 7, "gender", shuffle=None, epochs=1) as generator, HDF5Reader(file) as reader:
        genders = np.concatenate([genders for _images, genders in generator])
        assert genders.tolist() == reader.labels("gender")[reader.split("test")].tolist()


def test_a_generator_that_goes_to_another_process_gives_the_same_batches(file):
    with HDF5Generator(file, "train", 16, ("gender", "age"), seed=4) as generator:
        generator.seek(2, 3)
        with pickle.loads(pickle.dumps(generator)) as other:  # noqa: S301
            assert other.state() == generator.state()
            assert equal(other.batch(5, 1), generator.batch(5, 1))


def test_plain_keras_fit_trains_on_it(file):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    with HDF5Generator(file, "train", 16, "gender") as generator:
        history = model.fit(iter(generator), steps_per_epoch=generator.steps_per_epoch, epochs=2, verbose=0)
        assert len(history.history["loss"]) == 2
        assert generator.state()["epoch"] >= 3


def test_dataset_gives_the_same_batches_from_the_present_state_each_time_and_leaves_it(file):
    with (
        HDF5Generator(file, "train", 16, ("gender", "age"), epochs=2) as one,
        HDF5Generator(file, "train", 16, ("gender", "age"), epochs=2) as two,
    ):
        for generator in (one, two):
            generator.seek(1, 2)
        dataset, expected = one.dataset(), list(two)
        assert len(expected) == 2 * one.steps_per_epoch - 2 > 0
        for _ in range(2):
            found = list(dataset.as_numpy_iterator())
            assert len(found) == len(expected)
            assert all(equal(*pair) for pair in zip(found, expected, strict=True))
        next(iter(dataset))
        assert one.state() == {"seed": 0, "epoch": 1, "step": 2}
        assert dataset.element_spec[0].shape.as_list() == [16, 32, 32, 3]
        assert [spec.shape.as_list() for spec in dataset.element_spec[1].values()] == [[16], [16]]


def test_plain_keras_fit_trains_on_the_dataset_epoch_by_epoch(file):
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    seen: list[int] = []
    with HDF5Generator(file, "train", 16, "gender", epochs=1) as generator:
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, **_logs: seen.append(batch))
        model.fit(generator.dataset(), epochs=3, verbose=0, callbacks=[count])
        assert seen == 3 * list(range(generator.steps_per_epoch))


def test_batches_from_a_place_leave_the_generator_where_it_is(file):
    with HDF5Generator(file, "train", 16, epochs=2) as generator:
        generator.seek(2, 1)
        expected = list(generator)
        generator.seek(1, 0)
        found = list(generator.batches(2, 1))
        assert generator.state() == {"seed": 0, "epoch": 1, "step": 0}
    assert len(found) == len(expected) > 0
    assert all(equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.fixture
def half_known(tmp_path):
    """Twelve examples, all in train: even ones have a gender, every third one an age."""
    rows = [
        {"path": f"{n}.png", "gender": "" if n % 2 else "f", "age": "" if n % 3 else 30, "id": n, "split": "train"}
        for n in range(12)
    ]
    options = PackOptions(columns={"gender": "gender", "age": "age", "id": "id"})
    pack([manifest(tmp_path / "tree", rows)], tmp_path / "f.h5", options)
    return tmp_path / "f.h5"


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (("gender",), lambda n: n % 2 == 0),
        (("age",), lambda n: n % 3 == 0),
        (("gender", "age"), lambda n: n % 2 == 0 or n % 3 == 0),
    ],
)
def test_rows_without_any_known_label_are_left_out(half_known, labels, known):
    with HDF5Generator(half_known, "train", 2, labels, epochs=1) as generator:
        numbers = [int(generator.reader.paths[row].removesuffix(".png")) for row in generator.order.rows]
        assert sorted(numbers) == [n for n in range(12) if known(n)]
        assert sum(len(images) for images, _labels in generator) == len(numbers)


def test_a_split_without_a_known_label_is_refused_and_the_file_let_go(half_known):
    with pytest.raises(FacetError) as error:
        HDF5Generator(half_known, "test", 2, ("gender", "age"))
    assert str(error.value) == f"{half_known}: its test split has no example with a known gender or age"
    assert str(half_known) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"labels": "gendre"},
            "has no label 'gendre', expected one of age, age_group, gender (did you mean 'gender'?)",
        ),
        ({"batch_size": 16, "replicas": 3}, "expected a global batch divisible by the replicas"),
        ({"batch_size": 0}, "batch_size 0: expected an integer of at least 1"),
        ({"batch_size": 1024, "replicas": 512}, "batch_size 1024: only "),
    ],
)
def test_a_generator_that_cannot_be_is_refused(file, arguments, sentence):
    with pytest.raises(FacetError, match=sentence.replace("(", r"\(").replace("?", r"\?").replace(")", r"\)")):
        HDF5Generator(file, "train", **arguments)


PAIR = "expected (height, width), two positive integers"
NAME = "expected a name, or a tuple of at least one name"
SPLITS = "expected one of all, test, train, validation"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"shuffle": True}, "shuffle True: expected one of blocks, full, or None"),
        ({"image_size": 150}, f"image_size 150: {PAIR}"),
        ({"image_size": (150,)}, f"image_size (150,): {PAIR}"),
        ({"image_size": (150, 150.5)}, f"image_size (150, 150.5): {PAIR}"),
        ({"image_size": (0, 150)}, f"image_size (0, 150): {PAIR}"),
        ({"image_size": "150"}, f"image_size '150': {PAIR}"),
        ({"fit": 3}, "fit 3: expected one of crop, pad, stretch"),
        ({"labels": ()}, f"labels (): {NAME}"),
        ({"labels": None}, f"labels None: {NAME}"),
        ({"labels": ("gender", 1)}, f"labels ('gender', 1): {NAME}"),
        ({"batch_size": "64"}, "batch_size '64': expected an integer of at least 1"),
        ({"batch_size": True}, "batch_size True: expected an integer of at least 1"),
        ({"replicas": 2.0}, "replicas 2.0: expected an integer of at least 1"),
        ({"seed": "1"}, "seed '1': expected an integer"),
        ({"epochs": -1}, "epochs -1: expected an integer of at least 0"),
        ({"split": 3}, f"{{file}}: has no split 3, {SPLITS}"),
        ({"unknown_counts": "age"}, "unknown_counts 'age': expected some of the labels gender"),
        ({"unknown_counts": ("gender", 3)}, "unknown_counts ('gender', 3): expected some of the labels gender"),
        ({"unknown_counts": None}, "unknown_counts None: expected some of the labels gender"),
        ({"labels": "mood"}, "{file}: has no label 'mood', expected one of age, age_group, gender, id"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_one_sentence_and_the_file_is_let_go(half_known, arguments, sentence):
    with pytest.raises(FacetError) as error:
        HDF5Generator(half_known, **arguments)
    assert str(error.value) == sentence.replace("{file}", str(half_known))
    assert str(half_known) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"verify": True}, "verify True: expected one of always, first, never"),
        ({"workers": 0}, "workers 0: expected an integer of at least 1"),
        ({"fit": "cropp"}, "fit 'cropp': expected one of crop, pad, stretch (did you mean 'crop'?)"),
    ],
)
def test_what_no_reader_takes_is_one_sentence(arguments, sentence):
    with pytest.raises(FacetError) as error:
        check_reading(**arguments)
    assert str(error.value) == sentence


def test_one_label_whose_unknown_counts_is_as_good_as_a_tuple_of_it(half_known):
    with (
        HDF5Generator(half_known, "all", 4, "gender", unknown_counts="gender") as one,
        HDF5Generator(half_known, "all", 4, "gender", unknown_counts=("gender",)) as many,
        HDF5Generator(half_known, "all", 4, "gender") as none,
    ):
        assert one.order.rows.tolist() == many.order.rows.tolist()
        assert len(one.order.rows) > len(none.order.rows)


def test_numbers_and_lists_of_numpy_are_as_good_as_pythons(half_known):
    size = np.array([20, 16])
    with HDF5Generator(half_known, "train", np.int64(4), ["id"], image_size=size, seed=np.int64(3)) as generator:
        assert generator.batch(1, 0)[0].shape == (4, 20, 16, 3)


def test_next_goes_on_behind_the_last_batch_len_is_one_epoch_and_seek_goes_anywhere(file):
    with HDF5Generator(file, "train", 16, "gender", epochs=3) as generator:
        with pytest.raises(TypeError):
            next(generator)
        for step in range(2):
            images, genders = next(iter(generator))
            expected = generator.batch(1, step)
            assert np.array_equal(images, expected[0])
            assert genders.tolist() == expected[1].tolist()
        assert len(generator) == generator.steps_per_epoch == len(generator.order.rows) // 16
        generator.seek(3, len(generator) - 1)
        assert [images.shape for images, _genders in generator] == [(16, 32, 32, 3)]


@pytest.mark.parametrize(("split", "hint"), [("trian", " (did you mean 'train'?)"), ("al", " (did you mean 'all'?)")])
def test_a_misspelt_split_lists_all_four(file, split, hint):
    with pytest.raises(FacetError) as error:
        HDF5Generator(file, split)
    assert str(error.value) == f"{file}: has no split {split!r}, expected one of all, test, train, validation{hint}"


def test_a_seek_outside_the_epoch_is_refused(file):
    with (
        HDF5Generator(file, "train", 16) as generator,
        pytest.raises(FacetError, match="expected an epoch of at least 1"),
    ):
        generator.seek(1, generator.steps_per_epoch)


def test_importing_the_package_brings_no_tensorflow_and_no_opencv():
    code = "import sys, hdf5_helper; print([n for n in ('tensorflow', 'cv2', 'h5py', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    names = "HDF5Reader, HDF5Generator, pack"
    code = f"import sys; from hdf5_helper import {names}; print({{'tensorflow', 'keras'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_state_is_plain_integers_whatever_the_seed_was_given_as(file):
    with HDF5Generator(file, batch_size=np.int64(8), seed=np.int64(3)) as generator:
        assert json.loads(json.dumps(generator.state())) == {"seed": 3, "epoch": 1, "step": 0}
