import cv2
import numpy as np
import pytest

from models.training.report_pictures import attribute_text, confusion_text, draw_attributes, draw_confusion


def drawn(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def confusion(path, matrix):
    draw_confusion(path, matrix, tuple(f"class {n}" for n in range(len(matrix))), "hair, test")
    return drawn(path)


def test_confusion_as_text():
    assert confusion_text([[1200, 3], [4, 5]], ("male", "female")) == (
        "                      male      female   (predicted)\n"
        "true male            1,200           3\n"
        "true female              4           5"
    )


def test_attributes_as_text_stand_by_their_gain():
    by_attribute = {
        "Bald": {"count": 9, "accuracy": 0.9, "majority": 0.95},
        "Hat": {"count": 0},
        "Wearing_Lipstick": {"count": 9, "accuracy": 0.8765, "majority": 0.5},
    }
    assert attribute_text(by_attribute) == (
        "  attribute         accuracy  majority      gain\n"
        "  Wearing_Lipstick    0.8765    0.5000   +0.3765\n"
        "  Bald                0.9000    0.9500   -0.0500"
    )


@pytest.mark.parametrize("classes", [2, 3, 8, 25])
def test_a_confusion_matrix_darkens_its_diagonal(tmp_path, classes):
    right, wrong = np.eye(classes, dtype=int) * 7, 7 * (1 - np.eye(classes, dtype=int))
    first, second = (confusion(tmp_path / f"{n}.png", m.tolist()) for n, m in enumerate((right, wrong)))
    assert first.shape == second.shape
    assert max(first.shape) < 1700
    inside = first < second.astype(int) - 60  # where a cell of the diagonal is
    rows, columns = np.nonzero(inside)
    assert np.corrcoef(rows, columns)[0, 1] > 0.7


def test_cells_of_many_classes_have_no_text(tmp_path):
    """A uniform matrix of 21 classes is one flat colour inside; of 20 it has figures in it."""

    def colours(classes):
        picture = confusion(tmp_path / f"{classes}.png", np.full((classes, classes), 9).tolist())
        height, width = picture.shape
        return len(np.unique(picture[height // 3 : height // 2, width // 3 : width // 2]))

    assert colours(21) == 1
    assert colours(20) > 1


def test_a_bar_is_as_long_as_its_accuracy_and_one_attribute_is_a_row(tmp_path):
    def coloured(accuracies):
        by = {str(n): {"count": 1, "accuracy": a, "majority": 0.99} for n, a in enumerate(accuracies)}
        draw_attributes(tmp_path / "a.png", by, "attributes")
        picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
        return int(np.count_nonzero(picture[..., 0] - picture[..., 2] > 60))

    legend = coloured([0.0])
    assert (coloured([0.8]) - legend) / (coloured([0.4]) - legend) == pytest.approx(2, rel=0.05)
    heights = {}
    for count in (1, 40):
        coloured([0.5] * count)
        heights[count] = len(drawn(tmp_path / "a.png"))
    assert heights[40] > 4 * heights[1]
