"""Activations do not hang on the block that they are computed in."""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from conftest import ROOT
from small_models import CAFFE, narrow_vgg

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.calibration import measure_batch_normalization
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.training.activations.computing import Computer
from models.training.activations.model_parts import Cut, between, lower_part, top_cut
from models.training.distribution.replicas import Replicas

HEADS = heads_for(("gender",))
PRECISIONS = ("float32", "mixed_bfloat16")
#: On every kind of processor a row's place in a block of so many is nothing.
BLOCK_ROWS = 48
PICTURES = np.random.default_rng(0).integers(0, 256, (2 * BLOCK_ROWS, 32, 32, 3)).astype(np.uint8)


@pytest.fixture(scope="module", params=["vgg", "mobilenet"])
def model(request):
    base = narrow_vgg(32) if request.param == "vgg" else build_backbone("mobilenet", (32, 32), {"alpha": 0.25}, 0)
    model = build_network(base, CAFFE, HEADS, HeadShape(units=(8,), dropout=0.0), 0)
    if request.param == "mobilenet":
        measure_batch_normalization(model, PICTURES[:16])
    return model


def computer(model, precision="float32", part=None):
    return Computer(part or lower_part(model, top_cut(model)), model, HEADS, Replicas(), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_does_not_hang_on_its_place_nor_on_the_others(model, precision):
    compute, order = computer(model, precision), np.random.default_rng(1).permutation(len(PICTURES))
    plain, mixed = (
        np.concatenate([compute(pictures[:BLOCK_ROWS]), compute(pictures[BLOCK_ROWS:])])
        for pictures in (PICTURES, PICTURES[order])
    )
    np.testing.assert_array_equal(mixed, plain[order])


def test_a_row_of_any_block_differs_in_its_last_digits_at_most(model):
    whole = computer(model)(PICTURES)
    for rows in (2, 3, 5, 8, 31):
        np.testing.assert_allclose(computer(model)(PICTURES[:rows]), whole[:rows], atol=1e-5 * abs(whole).max())


def test_bytes_and_floats_of_images_give_the_same(model):
    pictures, compute = PICTURES[:4], computer(model)
    np.testing.assert_array_equal(compute(pictures), compute(pictures.astype(np.float32)))


def test_the_precision_is_the_type_of_what_comes_out(model):
    values = computer(model)(PICTURES[:BLOCK_ROWS])
    half = computer(model, "mixed_bfloat16")(PICTURES[:BLOCK_ROWS])
    assert (values.dtype, half.dtype) == (np.float32, ml_dtypes.bfloat16)
    assert values.shape == half.shape == (BLOCK_ROWS, *lower_part(model, top_cut(model)).output_shape[1:])
    assert np.corrcoef(half.astype(np.float32).ravel(), values.ravel())[0, 1] > 0.8


def test_what_it_computes_in_bfloat16_leaves_the_model_in_float32(model):
    before = computer(model)(PICTURES[:4])
    computer(model, "mixed_bfloat16")(PICTURES[:4])
    np.testing.assert_array_equal(computer(model)(PICTURES[:4]), before)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_two_parts_one_after_the_other_give_what_both_give(precision):
    model = build_network(narrow_vgg(32), CAFFE, HEADS, HeadShape(units=(8,)), 0)
    low, top = Cut("block3_pool", inside=True), top_cut(model)
    below = computer(model, precision, lower_part(model, low))(PICTURES[:BLOCK_ROWS])
    above = computer(model, precision, between(model, low, top))(below)
    np.testing.assert_array_equal(above, computer(model, precision)(PICTURES[:BLOCK_ROWS]))


def test_a_block_is_traced_once(model):
    part, traced = lower_part(model, top_cut(model)), []
    counting = lambda values, training: (traced.append(values.shape), part(values, training=training))[1]  # noqa: E731
    compute = computer(model, part=counting)
    for start in (0, 8, 16):
        compute(PICTURES[start : start + 8])
    assert traced == [(8, 32, 32, 3)]


def test_a_block_of_one_is_refused(model):
    with pytest.raises(FacetError) as error:
        computer(model)(PICTURES[:1])
    assert str(error.value) == "a block of 1 rows: expected a multiple of 1, and at least 2"


ON_TWO = """
import sys
import numpy as np
import tensorflow as tf
from models.training.distribution.devices import configure_devices, parse_devices
devices = configure_devices(parse_devices("cpu:2"))
from test_activation_computing import HEADS, PICTURES, PRECISIONS, face_network
from models.training.activations.computing import Computer
from models.training.activations.model_parts import lower_part, top_cut
from models.training.distribution.replicas import Replicas
replicas = Replicas(tf.distribute.MirroredStrategy(devices))
if replicas.local != 2:
    sys.exit(f"{replicas.local} replicas")
with replicas.scope():
    model = face_network()
part = lower_part(model, top_cut(model))
values = [Computer(part, model, HEADS, replicas, precision)(PICTURES) for precision in PRECISIONS]
np.save(sys.argv[1], np.stack([value.astype(np.float32) for value in values]))
"""


def face_network():
    base = build_backbone("vggface", (32, 32), {"width": 0.0625}, 0)
    return build_network(base, CAFFE, HEADS, HeadShape(units=(8,)), 0)


def test_two_devices_compute_what_one_does(tmp_path):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", ON_TWO, str(tmp_path / "two.npy")]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model, blocks = face_network(), (PICTURES[:BLOCK_ROWS], PICTURES[BLOCK_ROWS:])
    for precision, found in zip(PRECISIONS, np.load(tmp_path / "two.npy"), strict=True):
        compute = computer(model, precision)
        np.testing.assert_array_equal(found, np.concatenate([compute(block) for block in blocks]).astype(np.float32))
        assert abs(found).max() > 0
