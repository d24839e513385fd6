from pathlib import Path

import pytest

from hdf5_helper import HDF5Reader
from hdf5_helper.errors import FacetError


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"verify": True}, "verify True: expected one of always, first, never"),
        ({"image_size": 150}, "image_size 150: expected (height, width), two positive integers"),
        ({"workers": "2"}, "workers '2': expected an integer of at least 1"),
        ({"fit": 3}, "fit 3: expected one of crop, pad, stretch"),
        (
            {"image_size": (9, 9)},
            (
                "{file}: holds raw images of 32×32 pixels, found image_size 9×9,"
                " expected the same or a file packed with --storage encoded"
            ),
        ),
        ({"fit": "crop"}, "{file}: its raw images were brought to size by stretch, expected no fit 'crop'"),
    ],
)
def test_a_reader_that_cannot_be_is_one_sentence_and_the_file_is_let_go(packed, arguments, sentence):
    file = packed("agegender", count=120, storage="raw", image_size=(32, 32))
    with pytest.raises(FacetError) as error:
        HDF5Reader(file, **arguments)
    assert str(error.value) == sentence.replace("{file}", str(file))
    assert str(file) not in Path("/proc/self/maps").read_text()
