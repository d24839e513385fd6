import csv
import json

import cv2
import numpy as np
import pytest
from small_models import images, small_model, values_of, write_run

from hdf5_helper.errors import FacetError
from models.export import export_model
from scripts.predict import command

CHECKPOINT = "warm_up-epoch-0001.keras"
REMINDER = "Estimates from pixels, not facts about a person: they are wrong more often for some people than for others."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A `.pb`, a run, and a tree of 12 good pictures, one empty, one damaged, and a text."""
    folder = tmp_path_factory.mktemp("predict")
    model, description = small_model(("age", "gender"))
    export_model(model, description, folder / "both.pb")
    write_run(folder / "history", "real", {CHECKPOINT: small_model(("age", "gender"))}, best=CHECKPOINT)
    (folder / "pictures" / "more").mkdir(parents=True)
    for number, picture in enumerate(images(12)):
        name = f"more/{number:02}.png" if number % 2 else f"{number:02}.png"
        cv2.imwrite(str(folder / "pictures" / name), picture[..., ::-1])
    (folder / "pictures" / "03.jpg").touch()
    (folder / "pictures" / "more" / "99.png").write_bytes((folder / "pictures" / "00.png").read_bytes()[:80])
    (folder / "pictures" / "list.txt").write_text("no picture")
    return folder


@pytest.fixture
def expected():
    """What Keras itself says, by path, in the order of the walk."""
    values = values_of(*small_model(("age", "gender")), images(12))
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    paths = [f"pictures/more/{number:02}.png" if number % 2 else f"pictures/{number:02}.png" for number in order]
    numbers = zip(values["age"][order, 0], values["gender"][order, 0], strict=True)
    return dict(zip(paths, numbers, strict=True))


def word(female):
    return f"female {female:.2f}" if female >= 0.5 else f"male {1 - female:.2f}"


def test_a_graph_alone_predicts_folders_to_the_terminal_and_to_csv_as_keras_does(facet, folder, expected):
    answer = facet("predict", "both.pb", "pictures", "--csv", "out.csv", "--batch-size", 5, cwd=folder)
    assert (answer.code, answer.stderr) == (0, "")
    with open(folder / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("path", "age_predicted"),
        *("gender_predicted", "gender_male_probability", "gender_female_probability"),
    ]
    assert [row["path"] for row in rows] == list(expected)
    for row, (age, female) in zip(rows, expected.values(), strict=True):
        assert float(row["age_predicted"]) == pytest.approx(age, rel=1e-5)
        assert float(row["gender_female_probability"]) == pytest.approx(female, abs=1e-5)
        assert float(row["gender_male_probability"]) == pytest.approx(1 - female, abs=1e-5)
        assert row["gender_predicted"] == ("female" if female >= 0.5 else "male")
    shown = [f"{path:<20}  {age:<12.1f}  {word(female)}" for path, (age, female) in list(expected.items())[:10]]
    assert answer.stdout.splitlines() == [
        REMINDER,
        f"{'path':<20}  {'age':<12}  gender",
        *shown,
        "... and 2 more in out.csv",
        "not read: pictures/03.jpg: an empty file",
        "not read: pictures/more/99.png: cannot be decoded: damaged or truncated image data",
        "12 pictures, 2 not read",
        "out.csv holds every row; next: facet evaluate both.pb --data FILE.h5",
    ]


def test_with_json_a_run_prints_one_value_on_stdout_and_sentences_on_stderr(facet, folder, expected):
    answer = facet("predict", "real", "pictures", "--json", cwd=folder)
    assert answer.code == 0
    assert answer.stderr.splitlines() == [
        REMINDER,
        "not read: pictures/03.jpg: an empty file",
        "not read: pictures/more/99.png: cannot be decoded: damaged or truncated image data",
        "12 pictures, 2 not read",
        "next: facet predict real PICTURES --csv OUT.csv",
    ]
    values = json.loads(answer.stdout)
    assert (values["model"], values["count"]) == (f"history/real/checkpoints/{CHECKPOINT}", 12)
    assert [entry["path"] for entry in values["not_read"]] == ["pictures/03.jpg", "pictures/more/99.png"]
    found = {entry["path"]: (entry["age"], entry["gender"]) for entry in values["predictions"]}
    assert list(found) == list(expected)
    for path, (age, female) in expected.items():
        assert found[path][0]["predicted"] == pytest.approx(age, rel=1e-5)
        assert found[path][1]["probabilities"]["female"] == pytest.approx(female, abs=1e-5)


def predict(*words):
    """Runs the command in this process; `--verbose` leaves the test's own stderr alone."""
    command.main([*map(str, words), "--verbose"], standalone_mode=False)


def test_without_csv_every_row_is_shown(folder, expected, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    predict("both.pb", "pictures")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:14]] == list(expected)
    assert lines[-1] == "next: facet predict both.pb PICTURES --csv OUT.csv"


def test_pictures_of_another_size_are_brought_to_the_models(folder, tmp_path, capsys):
    large = np.repeat(np.repeat(images(1)[0], 3, axis=0), 3, axis=1)  # averaging 3×3 gives the small picture back
    cv2.imwrite(str(tmp_path / "large.png"), large[..., ::-1])
    predict(folder / "both.pb", tmp_path, "--json")
    entry = json.loads(capsys.readouterr().out)["predictions"][0]
    expected = values_of(*small_model(("age", "gender")), images(1))["age"][0, 0]
    assert entry["age"]["predicted"] == pytest.approx(expected, rel=1e-5)


def test_when_nothing_can_be_read_the_command_fails_and_leaves_no_csv(folder, tmp_path, capsys):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").write_text("no picture")
    with pytest.raises(FacetError) as refused:
        predict(folder / "both.pb", tmp_path, "--csv", tmp_path / "out.csv")
    assert str(refused.value) == "none of the 2 pictures could be read, expected at least one"
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"not read: {tmp_path / 'a.jpg'}: an empty file",
        f"not read: {tmp_path / 'b.jpg'}: cannot be decoded: is no image of a known format",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["gone.pb", "pictures"], "gone.pb: no such file, expected a model (.pb, .keras, .h5) or a run's name", 1),
        (["reel", "pictures"], "run 'reel': not in history, expected one of real (did you mean 'real'?)", 1),
        (["both.pb", "pictured"], "pictured: no such file or folder, expected pictures", 1),
        (["both.pb", "pictures", "--csv", "gone/out.csv"], "gone/out.csv: the folder gone does not exist", 1),
        (
            ["both.pb", "pictures", "--batch-size", "0"],
            "Invalid value for '--batch-size': 0 is not in the range x>=1.",
            1,
        ),
        (["both.pb", "pictures", "--checkpoint", "last"], "--checkpoint last: goes with a run, both.pb is a file", 1),
        (["both.pb"], "Missing argument 'IMAGE_OR_DIR...'.", 2),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_else(facet, folder, words, sentence, code):
    before = sorted(folder.rglob("*"))
    answer = facet("predict", *words, cwd=folder)
    assert (answer.code, answer.stdout) == (code, "")
    assert answer.stderr.startswith(f"facet: {sentence}")
    assert len(answer.stderr.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before
