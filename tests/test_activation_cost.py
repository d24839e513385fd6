"""What keeping activations is expected to cost and save, and what is kept for it."""

import math
from dataclasses import replace
from pathlib import Path

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import narrow_vgg

from hdf5_helper.errors import FacetError
from models.backbones.building import build_backbone
from models.heads.choosing import heads_for
from models.network import HeadShape, build_network
from models.preprocessing import Preprocessing
from models.training.activations.cost import (
    Plan,
    Work,
    activation_values,
    choose,
    distinct_views,
    kept_bytes,
    multiply_accumulates,
    plan_of,
    seconds,
)
from models.training.activations.machine_speeds import Speeds, speeds_here
from models.training.activations.model_parts import between, low_cut, lower_part, top_cut, upper_part

LAYERS = keras.layers
FOLDER = Path("history/.cache/activations")

#: VGG19 at 150×150, its top 4 layers trained, a thousand images and their mirror images.
VGG19 = Work(
    below=7_200_000_000,
    between=560_000_000,
    above=2_100_000,
    low=9 * 9 * 512,
    top=4 * 4 * 512,
    value_bytes=4,
    rows=1_000,
    validation_rows=100,
    views=2,
    warm_up_epochs=24,
    fine_tuning_epochs=50,
    limit=10**12,
    speeds=Speeds(60e9, 60e9, 500e6, 1e9),
)

EPOCHS = st.integers(0, 100)
WORKS = st.builds(
    Work,
    below=st.integers(0, 10**11),
    between=st.integers(0, 10**10),
    above=st.integers(0, 10**9),
    low=st.integers(0, 10**6),
    top=st.integers(1, 10**6),
    value_bytes=st.sampled_from([2, 4]),
    rows=st.integers(0, 10**6),
    validation_rows=st.integers(0, 10**5),
    views=st.integers(1, 16),
    warm_up_epochs=EPOCHS,
    fine_tuning_epochs=EPOCHS,
    limit=st.integers(0, 10**13),
    speeds=st.builds(Speeds, *[st.floats(1e9, 1e13)] * 2, *[st.floats(1e7, 1e10)] * 2),
    frozen=st.just(False),
)
FROZEN = WORKS.map(lambda work: replace(work, low=0, frozen=True))
ANY = WORKS | FROZEN


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (LAYERS.Dense(7), (5,), 5 * 7),
        (LAYERS.Dense(7), (3, 4, 5), 3 * 4 * 5 * 7),
        (LAYERS.Conv2D(6, 3, padding="same"), (8, 8, 4), 8 * 8 * 6 * 9 * 4),
        (LAYERS.Conv2D(6, 3, strides=2), (9, 9, 4), 4 * 4 * 6 * 9 * 4),
        (LAYERS.Conv2D(6, 3, groups=2, padding="same"), (8, 8, 4), 8 * 8 * 6 * 9 * 2),
        (LAYERS.DepthwiseConv2D(3, padding="same"), (8, 8, 4), 8 * 8 * 4 * 9),
        (LAYERS.DepthwiseConv2D(3, padding="same", depth_multiplier=2), (8, 8, 4), 8 * 8 * 4 * 9 * 2),
        (LAYERS.SeparableConv2D(6, 3, padding="same"), (8, 8, 4), 8 * 8 * (4 * 9 + 4 * 6)),
        (LAYERS.BatchNormalization(), (8, 8, 4), 0),
        (LAYERS.MaxPooling2D(), (8, 8, 4), 0),
    ],
)
def test_each_number_of_a_kernel_counts_once_for_each_place_of_the_output(layer, shape, expected):
    images = keras.Input(shape)
    assert multiply_accumulates(keras.Model(images, layer(images))) == expected


@pytest.mark.parametrize(
    ("name", "side", "published"),
    [
        # 19.6 billion FLOPs, counted as multiply-adds (He et al., 2016, "Deep Residual Learning", figure 3); without
        # its dense layers, which are 0.12 of them
        ("vgg19", 224, 19.6e9 - 0.12e9),
        ("mobilenet", 224, 569e6),  # Howard et al., 2017, table 4
        ("mobilenet_v2", 224, 300e6),  # Sandler et al., 2018, table 4
        ("resnet50", 224, 3.86e9),  # He et al., 2016, table 1: 3.8 billion, strides in the 1×1 convolutions
    ],
)
def test_published_counts_are_met(name, side, published):
    assert multiply_accumulates(build_backbone(name, (side, side), {}, 0)) == pytest.approx(published, rel=0.02)


def test_parts_add_up_to_the_whole():
    heads = heads_for(("age", "gender"))
    model = build_network(narrow_vgg(32), Preprocessing(), heads, HeadShape(units=(8,)), 0)
    low, top = low_cut(model, "4"), top_cut(model)
    parts = lower_part(model, low), between(model, low, top), upper_part(model, heads, top)
    assert all(multiply_accumulates(part) > 0 for part in parts)
    assert sum(multiply_accumulates(part) for part in parts) == multiply_accumulates(model)
    assert [activation_values(part) for part in parts[:2]] == [2 * 2 * 64, 64]


def test_views_that_are_drawn_again_are_not_new():
    assert [distinct_views(epochs, 1) for epochs in (0, 1, 9)] == [0, 1, 1]
    assert [distinct_views(epochs, 2) for epochs in (0, 1, 2, 3)] == [0, 1, 1.5, 1.75]
    assert distinct_views(1000, 8) == pytest.approx(8)


def test_seconds_are_the_sum_that_one_writes_by_hand():
    work = replace(VGG19, views=1, validation_rows=0, warm_up_epochs=3, fine_tuning_epochs=2)
    below, between_, above = 120.0, 560 / 60, 2.1 / 60  # seconds of 1,000 images
    low, top = 1000 * 9 * 9 * 512 * 4, 1000 * 4 * 4 * 512 * 4
    backward = 2 * (5 * above + 2 * between_)
    whole = 5 * above + backward
    assert seconds(work, ()) == pytest.approx(5 * (below + between_) + whole)
    assert seconds(work, ("top",)) == pytest.approx(3 * (below + between_) + whole + top / 500e6 + 2 * top / 1e9)
    assert seconds(work, ("low",)) == pytest.approx(below + 5 * between_ + whole + low / 500e6 + 4 * low / 1e9)
    both = below + 3 * between_ + whole + (low + top) / 500e6 + 2 * (low + top) / 1e9
    assert seconds(work, ("low", "top")) == pytest.approx(both)


def test_validation_is_one_view_in_each_epoch_and_once_before():
    work = replace(VGG19, rows=0, warm_up_epochs=3, fine_tuning_epochs=2)
    below, between_, above = 12.0, 56 / 60, 0.21 / 60  # seconds of 100 images
    low = 100 * 9 * 9 * 512 * 4
    assert seconds(work, ()) == pytest.approx(6 * (below + between_ + above))
    kept = below + 6 * (between_ + above) + low / 500e6 + 5 * low / 1e9
    assert seconds(work, ("low",)) == pytest.approx(kept)


def test_a_usual_schedule_keeps_both_levels_and_one_of_a_single_phase_its_own():
    assert choose(VGG19) == ("low", "top")
    assert choose(replace(VGG19, fine_tuning_epochs=0)) == ("top",)
    assert choose(replace(VGG19, warm_up_epochs=0)) == ("low",)
    assert choose(replace(VGG19, warm_up_epochs=1, fine_tuning_epochs=0, validation_rows=0)) == ()


def test_what_does_not_fit_is_left_out():
    both, low, top = (kept_bytes(VGG19, levels) for levels in (("low", "top"), ("low",), ("top",)))
    assert (both, top) == (low + top, 4 * 4 * 512 * 4 * 2_100)
    limits = {both: ("low", "top"), both - 1: ("low",), low - 1: ("top",), top - 1: ()}
    assert {limit: choose(replace(VGG19, limit=limit)) for limit in limits} == limits


@given(ANY)
def test_never_is_more_time_expected_than_live(work):
    assert seconds(work, choose(work)) <= seconds(work, ())


@given(ANY)
def test_never_is_more_kept_than_the_limit(work):
    assert kept_bytes(work, choose(work)) <= work.limit


@given(ANY)
def test_a_level_that_is_not_there_is_not_kept(work):
    assert "low" not in choose(replace(work, low=0))


@settings(max_examples=300)
@given(ANY, EPOCHS, EPOCHS)
def test_more_epochs_never_go_back_to_keeping_nothing(work, warm, fine):
    longer = replace(work, warm_up_epochs=work.warm_up_epochs + warm, fine_tuning_epochs=work.fine_tuning_epochs + fine)
    assert not choose(work) or choose(longer)


@given(ANY, st.integers(0, 10**13))
def test_more_room_never_takes_longer(work, more):
    roomier = replace(work, limit=work.limit + more)
    assert seconds(roomier, choose(roomier)) <= seconds(work, choose(work))


@given(ANY)
def test_times_are_never_negative(work):
    for levels in ((), ("top",), ("low",), ("low", "top")):
        assert seconds(work, levels) >= 0
        assert math.isfinite(seconds(work, levels))


def test_where_the_top_serves_both_phases_it_is_filled_once():
    work = replace(VGG19, low=0, frozen=True, views=1, validation_rows=0, warm_up_epochs=3, fine_tuning_epochs=2)
    row = 1000 * 4 * 4 * 512 * 4
    above = 3 * 5 * 2.1 / 60
    expected = 120 + 560 / 60 + above + row / 500e6 + 4 * row / 1e9
    assert seconds(work, ("top",)) == pytest.approx(expected)
    assert choose(work) == ("top",)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (
            Plan(("low", "top"), 3_100_000_000, 10_800, 720),
            "keeps activations: 3.1 GB in history/.cache/activations, 40 GB free; about 12 min instead of 3 h",
        ),
        (
            Plan((), 0, 9_000, 9_000, over_limit=50_000_000_000),
            "keeps no activations: 50 GB would be more than the limit, 40 GB free; about 2.5 h",
        ),
        (Plan((), 0, 40, 40), "keeps no activations: computing them live is as fast; about 40 s"),
    ],
)
def test_a_plan_says_what_it_takes_and_gives(plan, sentence):
    assert plan.sentence(FOLDER, 40_000_000_000) == sentence


def test_a_plan_holds_what_was_chosen_and_what_it_costs():
    both, live = ("low", "top"), seconds(VGG19, ())
    size, kept = kept_bytes(VGG19, both), seconds(VGG19, both)
    assert plan_of(VGG19) == Plan(both, size, live, kept, could_save=live - kept)
    assert plan_of(replace(VGG19, limit=0)) == Plan((), 0, live, live, over_limit=size, could_save=live - kept)


@given(ANY)
def test_who_asks_for_it_gets_a_level_that_fits(work):
    fits = any(kept_bytes(work, levels) <= work.limit for levels in (("top",), *((("low",),) if work.low else ())))
    assert bool(choose(work, asked=True)) == fits
    assert kept_bytes(work, choose(work, asked=True)) <= work.limit


def test_no_views_are_no_work():
    with pytest.raises(FacetError, match="expected at least one view"):
        replace(VGG19, views=0)


def test_a_machine_is_no_slower_in_bfloat16_and_validates_in_float32():
    plain, mixed = speeds_here("float32"), speeds_here("mixed_bfloat16")
    assert plain.training == plain.validation == mixed.validation <= mixed.training
    assert speeds_here("float32", gpus=2).training == 2 * speeds_here("float32", gpus=1).training > 2 * plain.training
