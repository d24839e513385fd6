import json

import cv2
import numpy as np
import pytest
from PIL import Image

from hdf5_helper.inspecting.grid import CELL
from hdf5_helper.inspecting.perceptual import open_small
from models.augmentation.applying import augmented
from models.augmentation.mixing import mixed, partners, shares
from models.augmentation.recipe import parse_augmentation
from models.interface.augmentation_grid import write_augmented_grid

LINE, STEP = CELL + 34, CELL + 12  # captions are below, gaps between


def cells(picture):
    """Gives the images of a sheet by line and column."""
    sheet = np.asarray(Image.open(picture))
    lines, columns = range(0, sheet.shape[0], LINE), range(0, sheet.shape[1], STEP)
    return [[sheet[top : top + CELL, left : left + CELL] for left in columns] for top in lines]


@pytest.mark.parametrize("storage", ["encoded", "raw"])
@pytest.mark.parametrize("text", ["strong", "mirror,mixup=1"])
def test_a_line_is_a_training_example_and_what_training_sees_of_it_in_seven_epochs(packed, tmp_path, storage, text):
    recipe = parse_augmentation(text)
    file = packed("agegender", count=300, storage=storage, image_size=(64, 64) if storage == "raw" else None)
    assert write_augmented_grid(file, tmp_path / "grid.png", recipe, seed=3, count=2) == 2
    first, last = cells(tmp_path / "grid.png")
    with open_small(file, (CELL, CELL), "stretch") as reader:
        train = reader.split("train")
        for line, row in ((first, train[:1]), (last, train[-1:])):
            expected = [reader.read(row)[0]]
            for epoch in range(1, 8):
                view = augmented(reader.read(row), recipe, 3, epoch, row)
                if recipe.mixup:
                    partner = partners(3, epoch, row, train)
                    other = augmented(reader.read(partner), recipe, 3, epoch, partner)
                    view = mixed(view, other, shares(recipe.mixup, 3, epoch, row))
                expected.append(view[0])
            shown = [cv2.resize(image, (CELL, CELL), interpolation=cv2.INTER_LINEAR) for image in expected]
            assert np.array_equal(line, shown)


def test_what_is_cropped_is_shown_as_the_model_sees_it(packed, tmp_path):
    file = packed("agegender", count=300)
    write_augmented_grid(file, tmp_path / "grid.png", parse_augmentation("crop=true,mixup=1"), seed=3, count=1)
    [[itself, *views]] = cells(tmp_path / "grid.png")
    write_augmented_grid(file, tmp_path / "crop.png", parse_augmentation("crop=true"), seed=3, count=1)
    [[_itself, *cropped]] = cells(tmp_path / "crop.png")
    windows = [
        cv2.resize(itself[top : top + 112, left : left + 112], (CELL, CELL), interpolation=cv2.INTER_LINEAR)
        for top in range(17)
        for left in range(17)
    ]
    assert all(any(np.array_equal(view, window) for window in windows) for view in cropped)
    assert len({view.tobytes() for view in cropped}) > 3
    assert not any(np.array_equal(view, crop) for view, crop in zip(views, cropped, strict=True))


def test_a_small_train_split_is_shown_whole(packed, tmp_path):
    file = packed("agegender", count=20)
    with open_small(file, (CELL, CELL), "stretch") as reader:
        count = len(reader.split("train"))
    assert write_augmented_grid(file, tmp_path / "grid.png", parse_augmentation("afad"), seed=0, count=50) == count
    assert len(cells(tmp_path / "grid.png")) == count


def test_inspect_draws_augmented_examples_when_asked(packed, facet, tmp_path):
    file = packed("agegender", count=300)
    answer = facet("inspect", file, "--augment", "afad", "--grid", "views.png", "--seed", "3", "--json", cwd=tmp_path)
    write_augmented_grid(file, tmp_path / "expected.png", parse_augmentation("afad"), seed=3)
    assert (answer.code, answer.stderr) == (0, "")
    assert json.loads(answer.stdout)["grid"] == {"path": "views.png", "examples": 6}
    assert (tmp_path / "views.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--augment", "afad"), "--augment afad: shows nothing without --grid GRID.png"),
        (("--augment", "zoom=2", "--grid", "a.png"), "augmentation zoom 2: expected 0 to below 1"),
    ],
)
def test_an_augmentation_that_cannot_be_shown_is_one_sentence(packed, facet, tmp_path, options, sentence):
    answer = facet("inspect", packed("agegender", count=300), *options, cwd=tmp_path)
    assert (answer.code, answer.stdout, answer.stderr) == (1, "", f"facet: {sentence}\n")
    assert list(tmp_path.iterdir()) == []
