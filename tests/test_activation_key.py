"""What names an activation file: all that its values depend on, in one fixed form."""

import json
import subprocess
import sys
from dataclasses import asdict, fields

import pytest
from activation_files import KEY, key_of
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from models.training.activations.key import ActivationKey

#: One other value for every field.
OTHERS = {
    "images_digest": "0123456789abcdef",
    "rows": 41,
    "weights_digest": "fedcba9876543211" * 2,
    "cut": "block5_conv4",
    "image_size": (64, 48),
    "fit": "pad",
    "window": (40, 64),
    "preprocessing": "rgb / 255",
    "view": "mirror",
    "precision": "mixed_bfloat16",
    "dtype": "float16",
    "shape": (3, 10),
    "versions": ("2.21.0", "3.15.2"),
}

texts = st.text(st.characters(codec="utf-8"))
sizes = st.tuples(st.integers(1, 4096), st.integers(1, 4096))
keys = st.builds(
    ActivationKey,
    images_digest=st.text("0123456789abcdef", min_size=1),
    rows=st.integers(1, 1 << 40),
    weights_digest=st.text("0123456789abcdef", min_size=1),
    cut=texts,
    image_size=sizes,
    fit=st.sampled_from(["stretch", "crop", "pad"]),
    window=sizes,
    preprocessing=texts,
    view=texts,
    precision=st.sampled_from(["float32", "mixed_bfloat16"]),
    dtype=st.sampled_from(["float32", "float16", "bfloat16"]),
    shape=st.lists(st.integers(1, 512), min_size=1, max_size=4).map(tuple),
    versions=st.lists(texts, max_size=3).map(tuple),
)


def test_every_field_makes_a_file_of_its_own():
    assert OTHERS.keys() == {field.name for field in fields(ActivationKey)}
    digests = {KEY.digest, *(key_of(**{name: value}).digest for name, value in OTHERS.items())}
    assert len(digests) == 1 + len(OTHERS)


def test_a_digest_is_the_same_in_every_process_and_every_version_of_facet():
    code = f"from models.training.activations.key import ActivationKey\nprint(ActivationKey(**{asdict(KEY)}).digest)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    # another one would leave every cache unused: let KEY_VERSION change where that is meant
    assert done.stdout.strip() == KEY.digest == "9b8b58d4926f32a99fcf39dc0b57e08f"


@given(key=keys)
def test_a_key_comes_back_from_json_as_it_was(key):
    back = ActivationKey.from_json(json.loads(json.dumps(key.to_json())))
    assert (back, back.digest) == (key, key.digest)
    assert len(key.digest) == 32
    assert set(key.digest) <= set("0123456789abcdef")


@given(one=keys, other=keys)
def test_two_keys_have_one_digest_only_if_they_are_equal(one, other):
    assert (one.digest == other.digest) == (one == other)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images_digest", ""),
        ("images_digest", "../../etc"),
        ("weights_digest", "AB"),
        ("weights_digest", None),
        ("rows", 0),
        ("rows", -1),
        ("image_size", [48, 64]),
        ("image_size", (0, 64)),
        ("window", ()),
        ("shape", ()),
        ("shape", (3, 0)),
        ("shape", [3]),
        ("precision", "float16"),
        ("dtype", "float64"),
        ("versions", "2.21.0"),
    ],
)
def test_what_names_no_file_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        key_of(**{name: value})


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "key",
        {},
        {**KEY.to_json(), "more": 1},
        {name: value for name, value in KEY.to_json().items() if name != "cut"},
        {**KEY.to_json(), "rows": "many"},
        {**KEY.to_json(), "shape": [None]},
        {**KEY.to_json(), "dtype": {}},
    ],
)
def test_json_that_is_no_key_is_refused(values):
    with pytest.raises(ValueError, match=r"expected|names no|not supported|unhashable"):
        ActivationKey.from_json(values)
