import pytest

from hdf5_helper.errors import FacetError
from models.heads.choosing import heads_for
from models.interface.assembling import check_same_classes

HEADS = heads_for(("mood", "gender"), {"mood": ("glad", "sad")}, {"gender": "softmax-unknown"})


def test_classes_of_the_same_names_in_the_same_order_fit():
    check_same_classes("--from a", {"mood": ("glad", "sad"), "gender": ("male", "female")}, HEADS, "b.h5")


def test_classes_in_another_order_are_refused_with_both_sides():
    with pytest.raises(FacetError) as error:
        check_same_classes("--from a@best", {"mood": ("sad", "glad")}, HEADS, "b.h5")
    assert str(error.value) == (
        "--from a@best: mood is sad, glad there and glad, sad in b.h5, expected the same in the same order"
    )
