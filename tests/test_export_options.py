from pathlib import Path

import pytest

from hdf5_helper.errors import FacetError
from models.description import ModelDescription, Output
from models.export.exporting import check_export_path
from models.export.formats import file_format_for
from models.export.options import ExportOptions, runtime_keys

SHARP = "age-estimator-sharp"
UINT8 = "--input-type uint8: whole numbers cannot hold values less a mean, expected --preprocessing inside"
PRESET = (
    "--preset age-estimator-sharp: that program decides about format, preprocessing and input type, expected none of"
    " these options"
)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"file_format": "savedmodel"},
            "--format 'savedmodel': expected one of litert, onnx, pb, saved_model (did you mean 'saved_model'?)",
        ),
        ({"file_format": ""}, "--format '': expected one of litert, onnx, pb, saved_model"),
        (
            {"preprocessing": "outsid"},
            "--preprocessing 'outsid': expected one of inside, outside (did you mean 'outside'?)",
        ),
        ({"input_type": "int8"}, "--input-type 'int8': expected one of float32, uint8 (did you mean 'uint8'?)"),
        (
            {"quantization": "float32"},
            "--quantize 'float32': expected one of float16, int8, none (did you mean 'float16'?)",
        ),
        ({"quantization": "float16"}, "--quantize float16: goes with --format litert, found pb"),
        ({"file_format": "onnx", "quantization": "int8"}, "--quantize int8: goes with --format litert, found onnx"),
        ({"input_type": "uint8", "preprocessing": "outside"}, UINT8),
        (
            {"preset": "age_estimator"},
            ("--preset 'age_estimator': expected one of age-estimator-sharp (did you mean 'age-estimator-sharp'?)"),
        ),
        ({"preset": SHARP}, PRESET),
        ({"preset": SHARP, "preprocessing": "outside", "file_format": "onnx"}, PRESET),
        ({"preset": SHARP, "preprocessing": "inside", "input_type": "uint8"}, PRESET),
    ],
)
def test_what_does_not_exist_or_does_not_go_together_is_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(FacetError) as refused:
        ExportOptions(**arguments)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("first.pb", "pb"),
        ("first.onnx", "onnx"),
        ("first.tflite", "litert"),
        ("first", "saved_model"),
        ("onnx", "saved_model"),
        ("first.pb.onnx", "onnx"),
    ],
)
def test_the_suffix_of_a_name_asks_for_a_format(name, file_format):
    assert file_format_for(name) == file_format


def test_a_suffix_that_no_format_has_is_taken_for_a_slip():
    with pytest.raises(FacetError) as refused:
        file_format_for("first.onx")
    assert str(refused.value) == (
        "first.onx: expected one of .onnx, .pb, .tflite (did you mean '.onnx'?), or --format saved_model for a folder"
    )


def test_runtimes_are_named_once_each():
    assert runtime_keys(None) == ()
    assert runtime_keys("opencv, tensorflow,opencv") == ("opencv", "tensorflow")


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        (ExportOptions(), {"tensorflow"}),
        (ExportOptions("saved_model"), {"tensorflow"}),
        (ExportOptions("onnx"), {"onnxruntime"}),
        (ExportOptions("litert", quantization="int8"), {"litert"}),
        (ExportOptions(preprocessing="outside", preset=SHARP), {"tensorflow", "tensorflow1"}),
        (ExportOptions(verify_with=("opencv",)), {"tensorflow", "opencv"}),
    ],
)
def test_a_files_own_runtime_and_those_asked_for_must_run_it(options, needed):
    assert options.needed == needed


def test_the_preset_decides_about_the_image_size():
    description = ModelDescription((Output("age", "linear"),), (128, 96))
    assert ExportOptions().image_size(description) == (128, 96)
    assert ExportOptions(preprocessing="outside", preset=SHARP).image_size(description) == (150, 150)


SHARP_OPTIONS = ExportOptions(preprocessing="outside", preset=SHARP)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with files and SavedModels' folders that are taken already; the working directory."""
    monkeypatch.chdir(tmp_path)
    for file in ("taken.pb", "other.json", "three.onnx.json", "mean.json", "four.saved_model.json", "file"):
        (tmp_path / file).write_text("mine")
    for inner, name in (("own", "saved_model.pb"), ("foreign", "variables"), ("foreign", "saved_model.pb")):
        (tmp_path / inner).mkdir(exist_ok=True)
        (tmp_path / inner / name).write_text("mine")
    (tmp_path / "five.json").mkdir()
    (tmp_path / "five.json" / "letters").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "options", "overwrite", "sentence"),
    [
        ("first.onnx", ExportOptions(), False, "first.onnx: expected a file name that ends in .pb"),
        ("first", ExportOptions("onnx"), False, "first: expected a file name that ends in .onnx"),
        ("first.pb", ExportOptions("litert"), True, "first.pb: expected a file name that ends in .tflite"),
        ("gone/first.pb", ExportOptions(), True, "gone/first.pb: the folder gone does not exist"),
        ("file/first.pb", ExportOptions(), True, "file/first.pb: the folder file does not exist"),
        ("taken.pb", ExportOptions(), False, "taken.pb: exists already, expected a new name or --overwrite"),
        ("other.pb", ExportOptions(), False, "other.json: exists already, expected a new name or --overwrite"),
        (
            "mean.pb",
            SHARP_OPTIONS,
            False,
            "mean.pb: its sidecar would be called mean.json as the means are, expected another name",
        ),
        (
            "three.onnx",
            ExportOptions("onnx"),
            False,
            "three.onnx.json: exists already, expected a new name or --overwrite",
        ),
        (
            "four",
            ExportOptions("saved_model"),
            False,
            "four.saved_model.json: exists already, expected a new name or --overwrite",
        ),
        ("own", ExportOptions("saved_model"), False, "own: exists already, expected a new name or --overwrite"),
        ("foreign", ExportOptions("saved_model"), False, "foreign: exists already, expected a new name or --overwrite"),
        ("foreign", ExportOptions("saved_model"), True, "foreign: a folder that holds variables, expected a new name"),
        ("five.pb", ExportOptions(), True, "five.json: a folder that holds letters, expected a new name"),
        (".", ExportOptions("saved_model"), True, ".: expected the name of a new folder"),
    ],
)
def test_a_place_where_nothing_may_be_written_is_refused_in_one_sentence(folder, name, options, overwrite, sentence):
    with pytest.raises(FacetError) as refused:
        check_export_path(Path(name), options, overwrite=overwrite)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("name", "options", "overwrite"),
    [
        ("new.pb", ExportOptions(), False),
        ("new", ExportOptions("saved_model"), False),
        ("taken.pb", ExportOptions(), True),
        ("own", ExportOptions("saved_model"), True),
        ("new.pb", SHARP_OPTIONS, True),
    ],
)
def test_a_new_name_is_taken_and_an_old_one_when_asked(folder, name, options, overwrite):
    check_export_path(folder / name, options, overwrite=overwrite)
