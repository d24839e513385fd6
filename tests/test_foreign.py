import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from hdf5_helper.errors import FacetError
from models.heads.choosing import heads_for
from models.training.foreign import ForeignData
from models.training.foreign_batches import BatchMaker

SIZE = (8, 6)
MAKE = BatchMaker("training_generator", heads_for(("gender",)), SIZE)
AGES = BatchMaker("training_generator", heads_for(("age",)), SIZE)
BOTH = BatchMaker("training_generator", heads_for(("age", "gender")), SIZE)


def training_batches(data, make, *, steps=None, class_weights="none", batch_size=64, seed=0, say=[].append):
    return ForeignData(data, make, batch_size, seed).for_training(steps, class_weights, say)


def validation_batches(data, make, *, batch_size=64):
    return ForeignData(data, make, batch_size).for_validation()


def pictures(count, first=0, dtype=np.uint8):
    """Images whose every pixel is their number, which tells where a row came from."""
    numbers = np.arange(first + 1, first + count + 1)[:, None, None, None]
    return np.broadcast_to(numbers, (count, *SIZE, 3)).astype(dtype)


def genders(count, first=0):
    return np.arange(first, first + count) % 2


class Numbered(keras.utils.PyDataset):
    """Ten images in batches of four, four and two; notes what is asked of it."""

    def __init__(self, endless=False, **options):
        super().__init__(**options)
        self.endless, self.calls = endless, []

    @property
    def num_batches(self):
        return None if self.endless else 3

    def __getitem__(self, index):
        self.calls.append(index)
        count = 2 if index == 2 and not self.endless else 4
        return pictures(count, 4 * index), genders(count, 4 * index)

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


def batches():
    """The same ten images as an iterator."""
    for index in range(3):
        yield Numbered()[index]


def endless():
    for start in itertools.count(0, 4):
        yield pictures(4, start % 200), genders(4)


def as_dataset():
    spec = tf.TensorSpec((None, *SIZE, 3), tf.uint8), tf.TensorSpec((None,), tf.int64)
    return tf.data.Dataset.from_generator(batches, output_signature=spec)


def finite():
    return tf.data.Dataset.from_tensor_slices((pictures(10), genders(10))).batch(4)


def rows(batch):
    """The numbers of the images that count."""
    return batch.inputs[batch.counted["gender"] > 0, 0, 0, 0].tolist()


def numbers(source, epoch=1, first=0):
    return [rows(batch) for batch in source.batches(epoch, first)]


TEN = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]

KINDS = {
    "PyDataset": (Numbered, None),
    "PyDataset read by three threads": (lambda: Numbered(workers=3), None),
    "tf.data": (finite, None),
    "tf.data of unknown length": (as_dataset, 3),
    "generator function": (lambda: batches, 3),
    "list of batches": (lambda: list(batches()), None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(4))
def test_each_epoch_begins_anew_and_may_be_gone_on_with_at_any_step(kind, first):
    make, steps = KINDS[kind]
    source = training_batches(make(), MAKE, steps=steps)
    assert (source.steps, source.batch_size) == (3, 4)
    assert numbers(source, 1, first) == TEN[first:]
    assert numbers(source, 2) == TEN


@pytest.mark.parametrize("make", [endless, lambda: finite().repeat(), lambda: Numbered(endless=True)])
def test_data_without_end_go_on_from_epoch_to_epoch(make):
    source = training_batches(make(), MAKE, steps=2)
    assert numbers(source) == TEN[:2]
    assert numbers(source, 2)[0] == ([9, 10, 11, 12] if not isinstance(make(), tf.data.Dataset) else [9, 10])


def test_a_pydataset_is_told_where_its_epochs_begin_and_end():
    data = Numbered()
    source = training_batches(data, MAKE)
    numbers(source)
    numbers(source, 2, first=2)
    assert data.calls == [0, "begin", 0, 1, 2, "end", "begin", 2, "end"]


def test_fewer_steps_than_there_are_end_an_epoch_early():
    assert numbers(training_batches(finite(), MAKE, steps=2)) == TEN[:2]


def test_a_smaller_last_batch_is_filled_up_with_rows_that_count_nothing():
    last = list(training_batches(Numbered(), MAKE).batches())[-1]
    assert last.inputs.shape == (4, *SIZE, 3)
    assert (last.counted["gender"].tolist(), last.weights["gender"].tolist()) == ([1, 1, 0, 0], [1, 1, 0, 0])
    assert last.totals == {"gender": 2.0}


def one(labels, make=MAKE, weights=None, class_weights="none", images=None):
    images = (
        pictures(len(next(iter(labels.values())) if isinstance(labels, dict) else labels)) if images is None else images
    )
    raw = (images, labels) if weights is None else (images, labels, weights)
    return next(training_batches([raw], make, class_weights=class_weights).batches())


@pytest.mark.parametrize(
    "values", [[0, 1, 255, -1], [[0], [1], [255], [-1]], [0.0, 1.0, np.nan, -1.0], np.array([0, 1, 255, 255], np.uint8)]
)
def test_gender_is_unknown_where_it_is_255_negative_or_not_a_number(values):
    batch = one(np.array(values))
    assert batch.targets["gender"].tolist() == [0, 1, 0, 0]
    assert batch.counted["gender"].tolist() == [1, 1, 0, 0]


def test_labels_by_name_are_taken_each_where_it_is_known():
    batch = one({"age": np.array([30, np.nan, 5]), "gender": np.array([1, 0, 255]), "other": np.zeros(3)}, BOTH)
    assert {name: values.tolist() for name, values in batch.targets.items()} == {"age": [30, 0, 5], "gender": [1, 0, 0]}
    assert batch.totals == {"age": 2.0, "gender": 2.0}


def test_class_weights_and_sample_weights_multiply():
    batch = one(np.array([0, 1, 255, 1]), weights=np.array([1, 2, 3, 0]), class_weights="0:1,1:1.5")
    assert batch.weights["gender"].tolist() == [1, 3, 0, 0]
    assert batch.totals == {"gender": 3.0}


def test_sample_weights_may_differ_by_label():
    labels = {"age": np.array([1.0, 2.0]), "gender": np.array([0, 1])}
    batch = one(labels, BOTH, weights={"age": np.array([2, 1]), "gender": np.array([0, 3])})
    assert {name: values.tolist() for name, values in batch.weights.items()} == {"age": [2, 1], "gender": [0, 3]}


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_images_of_any_float_become_float32(dtype):
    assert one(genders(4), images=pictures(4, dtype=dtype)).inputs.dtype == np.float32


def test_arrays_are_shuffled_anew_each_epoch_and_any_step_is_read_at_once():
    source = training_batches((pictures(10), genders(10)), MAKE, batch_size=4, seed=3)
    first, second = numbers(source, 1), numbers(source, 2)
    assert len({row for batch in first for row in batch}) == 8
    assert first != second
    assert numbers(source, 2, first=1) == second[1:]
    assert numbers(training_batches((pictures(10), genders(10)), MAKE, batch_size=4, seed=3), 2) == second


def test_arrays_are_measured_in_their_order_to_the_last_row():
    source = validation_batches((pictures(10), genders(10)), MAKE, batch_size=4)
    assert [rows(batch) for batch in source.batches()] == TEN
    assert (source.steps, source.count) == (3, 12)


def test_rows_of_arrays_without_a_label_are_left_out_and_balanced_weights_count_the_others():
    said = []
    labels = np.array([0, 255, 1, 0, 0, 255])
    source = training_batches((pictures(6), labels), MAKE, class_weights="balanced", say=said.append)
    [batch] = source.batches()
    by_row = dict(zip(batch.inputs[:, 0, 0, 0].tolist(), batch.weights["gender"].tolist(), strict=True))
    assert by_row == pytest.approx({1: 4 / 6, 3: 2.0, 4: 4 / 6, 5: 4 / 6})
    assert said == ["batch size 4 instead of 6: no more labels are known in training_generator"]


def test_only_data_that_must_repeat_themselves_are_spoken_of():
    said = []
    training_batches(Numbered(), MAKE, say=said.append)
    training_batches((pictures(64), genders(64)), MAKE, say=said.append)
    assert said == [
        "resuming is exact at epoch boundaries only, as far as training_generator gives the same batches again"
    ]


WRONG = {
    "dict of images": ({"image": pictures(2)}, "batch 1: found dict, expected (images, labels) or"),
    "no labels": ((pictures(2),), "batch 1: found 1 parts, expected (images, labels) or"),
    "other size": ((np.zeros((2, 5, 5, 3), np.uint8), genders(2)), "of shape (2, 5, 5, 3), expected (rows, 8, 6, 3)"),
    "no batches": ((pictures(1)[0], genders(1)), "found images of shape (8, 6, 3), expected (rows, 8, 6, 3)"),
    "no rows": ((pictures(0), genders(0)), "found images of shape (0, 8, 6, 3), expected (rows, 8, 6, 3)"),
    "integers": ((pictures(2, dtype=np.int64), genders(2)), "found images of int64, expected uint8 or float32"),
    "0 to 1": ((pictures(2, dtype=np.float32) / 2, genders(2)), "generator: images lie in 0–1, expected RGB of 0–255"),
    "-1 to 1": ((pictures(2, dtype=np.float32) - 2, genders(2)), "images lie between -1 and 0, expected RGB of 0–255"),
    "nan": ((pictures(2, dtype=np.float32) * np.nan, genders(2)), "images lie between nan and nan, expected RGB"),
    "class 2": ((pictures(2), np.array([1, 2])), "found gender 2, expected 0 = male, 1 = female, 255 = unknown"),
    "half": ((pictures(2), np.array([1, 0.5])), "found gender 0.5, expected 0 = male"),
    "one-hot": ((pictures(2), np.eye(2)), "found gender of shape (2, 2) and float64, expected one number for each"),
    "text": ((pictures(2), np.array(["f", "m"])), "found gender of shape (2,) and <U1, expected one number"),
    "too few": ((pictures(2), genders(1)), "found gender of shape (1,)"),
    "missing": ((pictures(2), {"sex": genders(2)}), "has no label 'gender', expected one of sex"),
    "weights": ((pictures(2), genders(2), np.array([1, -1])), "expected a finite sample weight of at least 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_batch_that_is_not_as_it_must_be_is_one_sentence(case):
    raw, sentence = WRONG[case]
    with pytest.raises(FacetError) as error:
        training_batches([raw, raw], MAKE)
    assert str(error.value).startswith("training_generator")
    assert sentence in str(error.value)


@pytest.mark.parametrize(("age", "found"), [(-1, "-1"), (np.inf, "inf")])
def test_an_impossible_age_is_one_sentence(age, found):
    with pytest.raises(FacetError, match=f"found age {found}, expected years, or NaN where unknown"):
        one(np.array([30.0, age]), BatchMaker("training_generator", heads_for(("age",)), SIZE))


@pytest.mark.parametrize(
    ("later", "found"),
    [(pictures(5), "found 5 images of uint8"), (pictures(2, dtype=np.float32), "found 2 images of float32")],
)
def test_a_batch_unlike_the_first_is_one_sentence(later, found):
    source = training_batches([(pictures(4), genders(4)), (later, genders(len(later)))], MAKE)
    with pytest.raises(FacetError) as error:
        list(source.batches())
    assert str(error.value) == (
        f"training_generator batch 2: {found}, expected uint8 and at most 4 as in the first batch"
    )


HOW_MANY = {
    "unknown": (as_dataset, None, "does not say how many batches an epoch has, expected a number of steps"),
    "function": (lambda: batches, None, "does not say how many batches an epoch has, expected a number of steps"),
    "empty": (lambda: iter(()), 3, "gives no batch, expected at least one"),
    "empty arrays": (lambda: (pictures(0), genders(0)), None, "gives no batch, expected at least one"),
    "too many": (Numbered, 4, "4 steps an epoch, expected at most 3, which is all there are"),
    "none": (lambda: batches, 0, "0 steps an epoch, expected at least 1"),
    "number": (lambda: 5, None, "found int, expected an HDF5Generator, keras.utils.PyDataset, tf.data.Dataset"),
    "unknown labels": (lambda: (pictures(2), genders(2) - 9), None, "has no example with a known gender"),
}


@pytest.mark.parametrize("case", HOW_MANY)
def test_how_many_batches_there_are_must_be_known(case):
    make, steps, sentence = HOW_MANY[case]
    with pytest.raises(FacetError) as error:
        training_batches(make(), MAKE, steps=steps)
    assert str(error.value).startswith(f"training_generator: {sentence}")


def test_data_that_end_early_are_one_sentence():
    source = training_batches(batches(), MAKE, steps=2)
    assert numbers(source) == TEN[:2]
    with pytest.raises(FacetError) as error:
        numbers(source, 2)
    assert str(error.value) == (
        "training_generator: ended after 1 of 2 batches, expected a function that begins anew for each epoch, or no end"
    )


@pytest.mark.parametrize(
    ("make", "weights", "sentence"),
    [
        (
            MAKE,
            "balanced",
            "class weights balanced: training_generator has no counts of its classes, expected such as 0:1,1:1.582",
        ),
        (MAKE, "1:2", "class weights '1:2': expected one weight for each of the classes 0 and 1"),
        (AGES, "0:1,1:2", "class weights '0:1,1:2': label age has no classes, expected none"),
    ],
)  # fmt: skip
def test_class_weights_that_batches_cannot_have_are_one_sentence(make, weights, sentence):
    with pytest.raises(FacetError) as error:
        training_batches(Numbered(), make, class_weights=weights)
    assert str(error.value) == sentence


def test_one_array_of_labels_is_not_enough_for_two():
    with pytest.raises(FacetError, match="found labels without names, expected a dict with age and gender"):
        training_batches(Numbered(), BOTH)


def test_arrays_of_attributes_train_with_a_weight_each():
    heads = heads_for(("attributes",), {"attributes": ("Smiling", "Hat")})
    pictures = np.full((4, *SIZE, 3), 200, np.uint8)
    looks = np.array([[1, -1], [-1, 0], [-1, 1], [0, 0]], np.int8)
    data = ForeignData((pictures, {"attributes": looks}), BatchMaker("training_generator", heads, SIZE), batch_size=3)
    [batch] = data.for_training(class_weights="balanced").batches()
    assert sorted(batch.weights["attributes"].tolist()) == [[0.75, 0.0], [0.75, 1.0], [1.5, 1.0]]
    assert batch.totals == {"attributes": 5}
