"""UTKFace: what is read from file names, the malformed ones included."""

import pytest
from trees import plant

from hdf5_helper.errors import FacetError
from hdf5_helper.sources import read_source
from hdf5_helper.sources.records import Record
from hdf5_helper.sources.utkface import RACES

DATE = "20170116220224657"


def test_a_name_gives_age_gender_and_race(tmp_path):
    names = [f"{20 + number}_{number % 2}_{number}_{DATE}.jpg.chip.jpg" for number in range(5)]
    assert read_source(plant(tmp_path, names)).records == tuple(
        Record(name, read_labels(20 + number, number % 2), None, {"race": race})
        for number, (name, race) in enumerate(zip(names, ("White", "Black", "Asian", "Indian", "Others"), strict=True))
    )


def read_labels(age: int, gender: int) -> dict[str, float]:
    group = {"age_group": 3} if age == 20 else {}
    return {"gender": gender, "age": float(age), **group}


#: The five malformed names of the real set's first part, as they are.
MALFORMED = {
    "24_0_1_20170116220224657 .jpg.chip.jpg": (24.0, 0, "Black"),
    "39_1_20170116174525125.jpg.chip.jpg": (39.0, 1, None),
    "55_0_0_20170116232725357jpg.chip.jpg": (55.0, 0, "White"),
    "61_1_20170109142408075.jpg.chip.jpg": (61.0, 1, None),
    "61_1_20170109150557335.jpg.chip.jpg": (61.0, 1, None),
}


def seen(record: Record) -> tuple[object, ...]:
    return record.labels["age"], record.labels.get("gender"), record.groups.get("race")


def test_malformed_names_keep_what_they_say_and_a_missing_race_is_unknown(tmp_path):
    listing = read_source(plant(tmp_path, MALFORMED), "utkface")
    assert {record.path: seen(record) for record in listing.records} == MALFORMED
    assert listing.rejects == ()
    assert listing.sentences[1:] == ("3 names without a race: it is unknown there",)


def test_all_305_real_names_are_examples(real_data):
    listing = read_source(real_data("utkface"))
    assert (listing.layout, len(listing.records), listing.rejects, listing.ignored) == ("utkface", 305, (), 0)
    assert listing.sentences[1:] == ("3 names without a race: it is unknown there",)
    found = {record.path: seen(record) for record in listing.records}
    assert {path: facts for path, facts in found.items() if path in MALFORMED} == MALFORMED
    for path, facts in found.items():  # an independent reading of the other three hundred
        if path not in MALFORMED:
            age, gender, race, _rest = path.split("_")
            assert facts == (float(age), int(gender), RACES[race])


def test_names_that_say_too_little_or_nonsense_are_rejects(tmp_path):
    names = {
        f"53__0_{DATE}.jpg": None,
        f"25_0_0_{DATE}.jpg": None,
        f"61_3_{DATE}.jpg": "gender '3' in its name: expected 0 (male) or 1 (female)",
        f"7_2_1_{DATE}.jpg": "gender '2' in its name: expected 0 (male) or 1 (female)",
        f"9_1_7_{DATE}.jpg": "race '7' in its name: expected 0 to 4",
        f"200_1_1_{DATE}.jpg": "age '200': expected years from 0 to 130",
        "25_0_0.jpg": "is not named AGE_GENDER_RACE_DATE",
        "holiday.jpg": "is not named AGE_GENDER_RACE_DATE",
    }
    listing = read_source(plant(tmp_path, names), "utkface")
    assert [seen(record) for record in listing.records] == [(25.0, 0, "White"), (53.0, None, "White")]
    assert dict(listing.rejects) == {name: reason for name, reason in names.items() if reason}


def test_parts_in_folders_are_read_and_a_repeated_name_counts_once(tmp_path):
    names = [f"{age}_1_0_{DATE}.jpg" for age in (5, 6, 7)]
    plant(tmp_path, [f"part1/{names[0]}", f"part2/{names[1]}", *(f"UTKFace/{name}" for name in names)])
    listing = read_source(tmp_path)
    assert [record.path for record in listing.records] == [f"UTKFace/{name}" for name in names]
    assert (listing.rejects, listing.ignored) == ((), 2)
    assert listing.sentences[1:] == ("2 images with the name of one in another folder left out",)


def test_a_newline_in_a_name_changes_nothing(tmp_path):
    name = f"25_0_0_{DATE}\n.jpg"
    assert [record.path for record in read_source(plant(tmp_path, [name])).records] == [name]


def test_class_folders_with_a_few_such_names_are_asked_about(tmp_path):
    plant(tmp_path, ["cat/a.jpg", "dog/b.jpg", f"dog/25_0_0_{DATE}.jpg"])
    with pytest.raises(FacetError, match=r"1 of 3 images look like layout utkface \(dog/25_0_0_"):
        read_source(tmp_path)
    assert len(read_source(tmp_path, "folders").records) == 3
