import csv
import errno
import hashlib
import io
import re
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, UnidentifiedImageError

from hdf5_helper.errors import FacetError
from hdf5_helper.images.decode import decode_file
from hdf5_helper.progress import Silent
from hdf5_helper.sample import LAYOUTS, SampleOptions, write_sample
from hdf5_helper.sample.attributes import ATTRIBUTE_NAMES, attributes_of
from hdf5_helper.sample.drawing import draw
from hdf5_helper.sample.layouts.adience import image_name
from hdf5_helper.sample.mess import flaws_of
from hdf5_helper.sample.pictures import draw_pictures

EVERY_LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
AGEGENDER_NAMES = (
    r"nm\d{7}_rm\d+_\d{4}-\d{1,2}-\d{1,2}_\d{4}\.jpg",
    r"\d+_\d{4}-\d{2}-\d{2}_\d{4}\.jpg",
    r"landmark_aligned_face\.\d+\.\d+_[0-9a-f]{10}_o\.jpg",
)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def images(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg"))


@EVERY_LAYOUT
def test_the_same_options_give_the_same_bytes_in_another_process(layout, sample_tree, facet, tmp_path):
    answer = facet("sample", tmp_path / "again", "--layout", layout, "--count", 60, "--image-size", 64, "--mess")
    assert answer.code == 0, answer.stderr
    assert contents(tmp_path / "again") == contents(sample_tree(layout, 60, mess=True))


@EVERY_LAYOUT
def test_a_larger_count_only_adds_pictures(layout, sample_tree):
    few, many = contents(sample_tree(layout, 40)), contents(sample_tree(layout, 60))
    images_of_few = {path: digest for path, digest in few.items() if path.endswith(".jpg")}
    assert len(images_of_few) == 40
    assert images_of_few.items() < many.items()


def test_another_seed_draws_other_pictures(sample_tree):
    digests = [set(contents(sample_tree("folders", 40, seed=seed)).values()) for seed in (0, 1)]
    assert len(digests[0] | digests[1]) == 80


def test_gender_and_age_of_afad_lie_in_the_folders(sample_tree):
    pictures = draw_pictures(0, 60, LAYOUTS["afad"].ages)
    expected = [f"{p.person.age}/{(111, 112)[p.person.gender]}/{400000 + p.person.number}-{p.number}" for p in pictures]
    assert images(sample_tree("afad", 60)) == sorted(f"{path}.jpg" for path in expected)
    assert {15 <= picture.person.age <= 75 for picture in pictures} == {True}


def test_agegender_has_the_names_of_the_real_set(sample_tree, real_data):
    real = [path.name for path in real_data("agegender_cleaned").rglob("*.jpg")]
    for names in (real, [Path(path).name for path in images(sample_tree("agegender", 200))]):
        matches = [sum(bool(re.fullmatch(pattern, name)) for name in names) for pattern in AGEGENDER_NAMES]
        assert sum(matches) >= 0.99 * len(names)
        assert min(matches) > 0.05 * len(names)


def test_agegender_folders_hold_gender_and_age_and_agree_with_the_names(sample_tree):
    pictures = draw_pictures(0, 200, LAYOUTS["agegender"].ages)
    folders = sorted(f"{p.person.age:02d}_{'MF'[p.person.gender]}" for p in pictures)
    tree = [Path(path) for path in images(sample_tree("agegender", 200))]
    assert sorted(path.parent.name for path in tree) == folders
    for path in tree:
        if years := re.search(r"_(\d{4})-\d+-\d+_(\d{4})", path.name):
            assert int(years[2]) - int(years[1]) - int(path.parent.name[:2]) in (0, 1)


def test_no_person_of_agegender_is_on_two_sides(sample_tree):
    sides = defaultdict(set)
    for path in map(Path, images(sample_tree("agegender", 200))):
        sides[re.match(r"nm\d+|\d+|landmark_aligned_face\.\d+", path.name)[0]].add(path.parts[1])
    assert {len(found) for found in sides.values()} == {1}
    assert set().union(*sides.values()) == {"aligned", "valid"}


def test_adience_folds_name_every_image_under_the_real_header(sample_tree, real_data):
    tree, named, users = sample_tree("adience", 200), [], []
    header = (real_data("adience") / "fold_0_data.txt").read_text().splitlines()[0]
    for fold in range(5):
        text = (tree / f"fold_{fold}_data.txt").read_text()
        assert text.splitlines()[0] == header
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
        users.append({row["user_id"] for row in rows})
        named += [f"{r['user_id']}/landmark_aligned_face.{r['face_id']}.{r['original_image']}" for r in rows]
    assert sorted(f"aligned/{name}" for name in named) == images(tree)
    assert all(users)
    assert sum(map(len, users)) == len(set().union(*users))


def test_adience_rows_hold_gender_age_and_user_of_the_pictures(sample_tree):
    tree = sample_tree("adience", 200)
    lines = [line for fold in range(5) for line in (tree / f"fold_{fold}_data.txt").read_text().splitlines()[1:]]
    rows = {row[1]: row for row in (line.split("\t") for line in lines)}
    for picture in draw_pictures(0, 200, LAYOUTS["adience"].ages):
        row = rows[image_name(picture)]
        low, high = [int(year) for year in re.findall(r"\d+", row[3])] * (1 if row[3].startswith("(") else 2)
        assert row[4] == ("m", "f")[picture.person.gender]
        assert low <= picture.person.age <= high
        assert row[2] == str(picture.person.number + 1)


def test_adience_writes_ages_as_the_real_folds_do(sample_tree, real_data):
    def ages(folder: Path) -> set[str]:
        lines = [line for fold in range(5) for line in (folder / f"fold_{fold}_data.txt").read_text().splitlines()[1:]]
        return {line.split("\t")[3] for line in lines}

    drawn = {age for age in ages(sample_tree("adience", 400)) if not age.isdecimal()}
    assert drawn == ages(real_data("adience"))


def test_celeba_files_have_the_form_of_the_real_ones(sample_tree, real_data):
    ours = (sample_tree("celeba", 60) / "list_attr_celeba.txt").read_bytes().splitlines(keepends=True)
    real = (real_data("celeba") / "list_attr_celeba.txt").read_bytes().splitlines(keepends=True)
    assert ours[0] == b"60\n"
    assert ours[1] == real[1]
    assert {len(line) for line in ours[2:]} == {len(real[2])}
    assert [line.split()[0].decode() for line in ours[2:]] == [f"{number:06d}.jpg" for number in range(1, 61)]


def test_celeba_labels_are_the_pictures_own(sample_tree):
    tree = sample_tree("celeba", 60)
    rows = [line.split() for line in (tree / "list_attr_celeba.txt").read_text().splitlines()[2:]]
    pictures = draw_pictures(0, 60, LAYOUTS["celeba"].ages)
    for row, picture in zip(rows, pictures, strict=True):
        values = dict(zip(ATTRIBUTE_NAMES, (value == "1" for value in row[1:]), strict=True))
        assert values == attributes_of(picture)
        assert values["Male"] == (picture.person.gender == 0)
        assert values["Eyeglasses"] == picture.person.worn.glasses


def test_celeba_partitions_keep_persons_together(sample_tree):
    tree = sample_tree("celeba", 200)
    partition, identity = (
        dict(line.split() for line in (tree / name).read_text().splitlines())
        for name in ("list_eval_partition.txt", "identity_CelebA.txt")
    )
    assert [f"img_align_celeba/{name}" for name in sorted(partition)] == images(tree)
    assert partition.keys() == identity.keys()
    assert set(partition.values()) == {"0", "1", "2"}
    parts = defaultdict(set)
    for name, person in identity.items():
        parts[person].add(partition[name])
    assert {len(found) for found in parts.values()} == {1}


def test_utkface_names_have_the_form_of_the_real_ones(sample_tree, real_data):
    form = r"\d+_[01]_[0-4]_20\d{15}\.jpg\.chip\.jpg"
    pictures = draw_pictures(0, 60, LAYOUTS["utkface"].ages)
    ours = [path.name for path in sample_tree("utkface", 60).iterdir()]
    real = [path.name for path in real_data("utkface").iterdir()]
    assert all(re.fullmatch(form, name) for name in ours)
    assert sum(bool(re.fullmatch(form, name)) for name in real) == len(real) - 5
    labels = sorted(f"{p.person.age}_{p.person.gender}_{p.person.tone}" for p in pictures)
    assert sorted("_".join(name.split("_")[:3]) for name in ours) == labels


def test_folders_are_man_and_woman(sample_tree):
    pictures = draw_pictures(0, 60, LAYOUTS["folders"].ages)
    expected = [f"{('man', 'woman')[p.person.gender]}/{p.index:06d}.jpg" for p in pictures]
    assert images(sample_tree("folders", 60)) == sorted(expected)


def test_the_manifest_names_every_image_with_its_labels(sample_tree):
    tree = sample_tree("manifest", 60)
    with open(tree / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        {
            "path": f"images/{p.index:06d}.jpg",
            "gender": ("male", "female")[p.person.gender],
            "age": str(p.person.age),
            "subject": f"p{p.person.number:05d}",
            "camera": p.shot.camera,
        }
        for p in draw_pictures(0, 60, LAYOUTS["manifest"].ages)
    ]
    assert rows == expected
    assert [row["path"] for row in rows] == images(tree)


def test_pictures_are_rgb_jpeg_files_of_the_asked_size(sample_tree):
    tree = sample_tree("folders", 40, image_size=48)
    kinds = set()
    for path in images(tree):
        with Image.open(tree / path) as image:
            kinds.add((image.format, image.mode, image.size))
    assert kinds == {("JPEG", "RGB", (48, 48))}


def test_the_file_shows_the_drawing(sample_tree):
    tree, picture = sample_tree("folders", 40), draw_pictures(0, 40, LAYOUTS["folders"].ages)[7]
    [path] = tree.rglob("000007.jpg")
    shown = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(float)
    assert np.abs(shown - draw(picture, 64)).mean() < 8


@EVERY_LAYOUT
def test_mess_adds_what_it_reports_and_leaves_the_rest_alone(layout, sample_tree, tmp_path):
    report = write_sample(tmp_path / "tree", SampleOptions(layout, 60, 0, 64, mess=True))
    clean, messy = sample_tree(layout, 60), tmp_path / "tree"
    added = set(contents(messy)) - set(contents(clean))
    missing = {place for place, what in report.mess.items() if what.startswith("named in")}
    assert added == set(report.mess) - missing
    assert not any((messy / place).exists() for place in missing)
    changed = {path for path, digest in contents(clean).items() if contents(messy)[path] != digest}
    assert {Path(path).suffix for path in changed} <= {".txt", ".csv"}


def test_every_flaw_is_what_its_name_says(sample_tree, tmp_path):
    report = write_sample(tmp_path / "tree", SampleOptions("folders", 40, 0, 64, mess=True))
    place = {what: tmp_path / "tree" / path for path, what in report.mess.items()}

    def opened(what: str) -> Image.Image:
        return Image.open(io.BytesIO(place[what].read_bytes()))

    with pytest.raises(OSError, match="truncated"):
        opened("a JPEG cut off in the middle").load()
    for what in ("a text under the name of an image", "an empty file"):
        with pytest.raises(UnidentifiedImageError):
            opened(what)
    assert opened("a grey JPEG").mode == "L"
    assert opened("a CMYK JPEG").mode == "CMYK"
    assert opened("a GIF").format == "GIF"
    assert cv2.imread(str(place["a PNG of 16 bits"]), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    copy = place["the first image once more, across the split where the layout has one"]
    assert copy.read_bytes() == next(sample_tree("folders", 40).rglob("000000.jpg")).read_bytes()


def test_the_turned_image_is_upright_once_exif_is_applied(tmp_path):
    report = write_sample(tmp_path / "tree", SampleOptions("folders", 40, 0, 64, mess=True))
    [path] = [path for path, what in report.mess.items() if "EXIF" in what]
    number = [flaw.what for flaw in flaws_of("folders")].index(report.mess[path])
    upright = draw(draw_pictures(0, 80, LAYOUTS["folders"].ages)[40 + number], 64).astype(float)
    data = (tmp_path / "tree" / path).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(np.asarray(ImageOps.exif_transpose(image)) - upright).mean() < 8
        assert np.abs(np.asarray(image) - upright).mean() > 16
    assert np.abs(decode_file(data) - upright).mean() < 8


@pytest.mark.parametrize("layout", ["agegender", "adience", "celeba"])
def test_the_copy_lies_on_the_other_side_of_the_official_split(layout, tmp_path):
    report = write_sample(tmp_path / "tree", SampleOptions(layout, 60, 0, 64, mess=True))
    [copy] = [tmp_path / "tree" / path for path, what in report.mess.items() if "once more" in what]
    same = [path for path in (tmp_path / "tree").rglob("*.jpg") if path.read_bytes() == copy.read_bytes()]
    assert len(same) == 2
    assert len({side(tmp_path / "tree", path) for path in same}) == 2


def side(tree: Path, image: Path) -> str:
    if (tree / "combined").exists():
        return image.relative_to(tree).parts[1]
    if (tree / "list_eval_partition.txt").exists():
        return dict(line.split() for line in (tree / "list_eval_partition.txt").read_text().splitlines())[image.name]
    photograph = image.name.split(".", 2)[2]
    return next(path.name for path in tree.glob("fold_*") if photograph in path.read_text())


def test_a_folder_with_something_in_it_is_refused_and_left_alone(facet, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "mine.txt").write_text("mine")
    answer = facet("sample", tmp_path / "faces", "--layout", "folders")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == f"facet: {tmp_path / 'faces'}: has something in it, expected a new or empty folder\n"
    assert [path.name for path in tmp_path.rglob("*")] == ["faces", "mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(facet, tmp_path):
    (tmp_path / "faces").write_text("mine")
    answer = facet("sample", tmp_path / "faces", "--layout", "folders")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == f"facet: {tmp_path / 'faces'}: is a file, expected a new or empty folder\n"


def test_an_empty_folder_is_filled_even_from_within(facet, tmp_path):
    answer = facet("sample", ".", "--layout", "folders", "--count", 20, "--image-size", 32, cwd=tmp_path)
    assert answer.code == 0, answer.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["man", "woman"]
    assert len(images(tmp_path)) == 20


def test_an_interrupted_drawing_leaves_nothing(tmp_path):
    class Interrupting(Silent):
        def advance(self, count: int, note: str = "") -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "faces", SampleOptions("afad", 5), Interrupting())
    assert list(tmp_path.iterdir()) == []


def test_a_failure_at_the_last_moment_leaves_an_empty_folder_empty(tmp_path, monkeypatch):
    rename, folder = Path.rename, tmp_path / "faces"

    def failing(self: Path, target: Path) -> Path:
        if Path(target) == folder / "woman":
            raise OSError(errno.EIO, "broken disk")
        return rename(self, target)

    folder.mkdir()
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(FacetError, match="cannot be written"):
        write_sample(folder, SampleOptions("folders", 10, image_size=32))
    assert list(tmp_path.rglob("*")) == [folder]


def test_a_new_folder_appears_whole(tmp_path, monkeypatch):
    renamed, rename = [], Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, target: (renamed.append(Path(target)), rename(self, target))[1])
    write_sample(tmp_path / "faces", SampleOptions("folders", 10, image_size=32))
    assert renamed == [tmp_path / "faces"]


def test_the_messy_manifest_has_its_odd_row(tmp_path):
    report = write_sample(tmp_path / "tree", SampleOptions("manifest", 10, 0, 32, mess=True))
    [odd] = [path for path, what in report.mess.items() if what.startswith("a row without age")]
    with open(tmp_path / "tree" / "manifest.csv", newline="") as file:
        rows = {row["path"]: (row["age"], row["gender"]) for row in csv.DictReader(file)}
    assert rows[odd] == ("", "n/a")
    assert [row for row in rows.values() if "n/a" in row] == [("", "n/a")]


def test_paths_with_blanks_are_quoted_in_the_next_command(facet, tmp_path):
    answer = facet("sample", "my faces", "--layout", "folders", "--count", 4, "--image-size", 32, cwd=tmp_path)
    assert answer.stdout.splitlines()[-1] == "next: facet pack 'my faces' 'my faces.h5'"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layout": "afda"}, "--layout 'afda': expected one of .* (did you mean 'afad'?)"),
        ({"layout": "afad", "count": 0}, "--count: expected a positive number, received 0"),
        ({"layout": "afad", "image_size": 8}, "--image-size: expected a side of 16 to 2048 pixels, received 8"),
    ],
)
def test_impossible_options_are_refused_in_one_sentence(options, sentence):
    with pytest.raises(FacetError, match=sentence.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
        SampleOptions(**options)


def test_the_command_says_what_it_drew_and_what_comes_next(facet, tmp_path):
    answer = facet("sample", "faces", "--layout", "agegender", "--count", 20, "--image-size", 32, cwd=tmp_path)
    pictures = draw_pictures(0, 20, (1, 90))
    ages, women = [p.person.age for p in pictures], sum(p.person.gender for p in pictures)
    assert answer.stdout == (
        f"20 pictures of {len({p.person.number for p in pictures})} drawn persons in faces, layout agegender\n"
        f"women on {women}, men on {20 - women}; ages {min(ages)} to {max(ages)}\n"
        "next: facet pack faces faces.h5\n"
    )
    assert (answer.code, answer.stderr) == (0, "")


@given(seed=st.integers(-(2**63), 2**63), count=st.integers(1, 30), more=st.integers(0, 30))
def test_a_picture_depends_on_seed_and_index_alone(seed, count, more):
    assert draw_pictures(seed, count + more, (1, 90))[:count] == draw_pictures(seed, count, (1, 90))


@given(seed=st.integers(0, 2**63), side=st.integers(16, 160))
def test_every_picture_can_be_drawn_at_every_size(seed, side):
    for picture in draw_pictures(seed, 3, (0, 110)):
        image = draw(picture, side)
        assert (image.shape, image.dtype) == ((side, side, 3), np.uint8)
        assert image.std() > 4


def test_traits_spread_and_overlap():
    persons = {picture.person.number: picture.person for picture in draw_pictures(3, 2000, (1, 90))}.values()
    women = [person for person in persons if person.gender == 1]
    men = [person for person in persons if person.gender == 0]
    assert 0.4 < len(women) / len(persons) < 0.52
    assert 0.7 < np.mean([person.hair.length > 0.5 for person in women]) < 0.9
    assert 0.02 < np.mean([person.hair.length > 0.5 for person in men]) < 0.2
    assert np.bincount([person.tone for person in persons]).min() > 0.15 * len(persons)
    assert np.corrcoef([p.age for p in persons], [p.face.wrinkles for p in persons])[0, 1] > 0.8
    assert len({person.age for person in persons}) > 80


def test_gender_and_age_can_be_learned_from_the_drawings_but_not_without_error():
    from sklearn.linear_model import LogisticRegression, Ridge

    pictures = draw_pictures(0, 1200, (1, 90))
    pixels = np.stack([cv2.resize(draw(p, 64), (16, 16), interpolation=cv2.INTER_AREA).ravel() for p in pictures]) / 255
    gender = np.array([p.person.gender for p in pictures])
    age = np.array([p.person.age for p in pictures])
    seen = pictures[900].person.number > np.array([p.person.number for p in pictures])
    guess = LogisticRegression(C=0.02, max_iter=500).fit(pixels[seen], gender[seen])
    assert 0.70 < guess.score(pixels[~seen], gender[~seen]) < 0.99
    years = Ridge(30).fit(pixels[seen], age[seen]).predict(pixels[~seen])
    assert np.corrcoef(years, age[~seen])[0, 1] > 0.4


@pytest.mark.long
def test_at_least_three_hundred_pictures_are_drawn_a_second(tmp_path):
    write_sample(tmp_path / "warm", SampleOptions("folders", 20))
    started = time.process_time()
    write_sample(tmp_path / "faces", SampleOptions("folders", 300))
    assert time.process_time() - started < 1.0
