import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import cv2
import h5py
import pytest

from hdf5_helper.machine import cpu, disk, memory, nvidia, versions, why_no_gpu
from scripts.tensorflow_probe import ask_tensorflow

CPU_BUILD = {"error": None, "cuda_build": False, "gpus": []}
GPU_BUILD = {**CPU_BUILD, "cuda_build": True}
NOTHING = {"devices": [], "driver": None, "visible": None}
OTHER_BUILD = "the other one is in requirements-gpu.txt"
DEVICE = {"devices": ["/dev/nvidia0"], "driver": "550.54", "visible": None}


def test_versions_are_those_that_the_packages_say():
    found = versions()
    assert found["h5py"] == h5py.__version__
    assert found["hdf5"] == h5py.version.hdf5_version
    assert found["opencv"].startswith(cv2.__version__)
    assert found["facet"] == metadata.version("facet")
    assert None not in found.values()


def test_the_processor_is_described_by_the_kernels_list():
    text = "model name\t: Some CPU @ 2 GHz\nflags\t\t: fpu sse avx2 avx512f avx512_bf16\n"
    described = cpu(text)
    assert described["model"] == "Some CPU @ 2 GHz"
    assert described["features"] == {"AVX2": True, "AVX-512": True, "BF16": True, "AMX": False}
    assert 1 <= described["usable_cores"] <= described["cores"] == os.cpu_count()


def test_where_the_system_says_nothing_features_are_unknown():
    described = cpu("")
    assert described["model"] == (platform.processor() or platform.machine())
    assert set(described["features"].values()) == {None}


def test_memory_is_given_in_bytes():
    assert memory("MemTotal:  100 kB\nMemAvailable:  40 kB\n") == {"total": 102400, "available": 40960}
    assert 2**28 < memory()["available"] <= memory()["total"]


def test_disk_of_a_folder_that_does_not_exist_yet_is_that_of_its_parent(tmp_path):
    found = disk(tmp_path / "not" / "yet")
    assert found["folder"] == str(tmp_path / "not" / "yet")
    assert found["total"] == shutil.disk_usage(tmp_path).total


@pytest.mark.parametrize(
    ("system", "tensorflow", "sentence"),
    [
        (NOTHING, CPU_BUILD, f"this TensorFlow is the CPU build; {OTHER_BUILD}"),
        (
            DEVICE,
            CPU_BUILD,
            f"this TensorFlow is the CPU build, although there is a device (/dev/nvidia0); {OTHER_BUILD}",
        ),
        (NOTHING, GPU_BUILD, "this TensorFlow could use one, but the system shows no NVIDIA device"),
        ({**DEVICE, "visible": ""}, GPU_BUILD, "CUDA_VISIBLE_DEVICES='' hides every device"),
        (
            {**DEVICE, "driver": None},
            GPU_BUILD,
            "there is a device (/dev/nvidia0), but no NVIDIA driver is loaded",
        ),
        (
            DEVICE,
            GPU_BUILD,
            f"there are device and driver, but TensorFlow could not load its CUDA libraries (in {sys.prefix})",
        ),
        (DEVICE, {**GPU_BUILD, "gpus": ["NVIDIA H100"]}, None),
        (NOTHING, {**CPU_BUILD, "error": "no module"}, "TensorFlow cannot be imported: no module"),
    ],
)
def test_why_there_is_no_gpu_is_one_sentence(system, tensorflow, sentence):
    assert why_no_gpu(system, tensorflow) == sentence


def test_doctor_says_everything_as_json(facet, tmp_path):
    answer = facet("doctor", "--json", cwd=tmp_path, env={"FACET_HISTORY": str(tmp_path / "runs")})
    values = json.loads(answer.stdout)
    assert (answer.code, answer.stderr) == (0, "")
    assert values["python"] == platform.python_version()
    assert values["versions"] == versions()
    assert values["tensorflow"]["error"] is None
    assert values["tensorflow"]["version"] == values["versions"]["tensorflow"]
    assert [disk["folder"] for disk in values["disk"]] == [str(tmp_path), str(tmp_path / "runs")]
    assert (values["why_no_gpu"] is None) == bool(values["tensorflow"]["gpus"])
    assert values["nvidia"] == nvidia()


def test_doctor_says_in_words_that_tensorflow_is_broken(facet, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('broken on purpose')")
    root = Path(__file__).parent.parent
    answer = facet("doctor", cwd=tmp_path, env={"PYTHONPATH": f"{tmp_path}:{root}"})
    lines = answer.stdout.splitlines()
    assert "GPU         none used: TensorFlow cannot be imported: ImportError: broken on purpose" in lines
    assert f"python      {platform.python_version()} on {platform.platform()}" in lines
    assert f"h5py        {h5py.__version__}" in lines
    assert lines[-1] == "next: facet sample faces --layout agegender"
    assert (answer.code, answer.stderr) == (0, "")


RUNTIMES = {
    "tensorflow": ("TensorFlow", ["pb", "saved_model"]),
    "tensorflow1": ("TensorFlow 1.15", ["pb", "saved_model"]),
    "opencv": ("OpenCV", ["pb", "onnx"]),
    "onnxruntime": ("ONNX Runtime", ["onnx"]),
    "litert": ("LiteRT", ["litert"]),
}


def test_doctor_lists_what_runs_exported_files(facet, tmp_path):
    answer = facet("doctor", "--json", env={"FACET_CACHE": str(tmp_path)})
    found = json.loads(answer.stdout)["runtimes"]
    assert {key: (runtime["name"], runtime["formats"]) for key, runtime in found.items()} == RUNTIMES
    assert [key for key, runtime in found.items() if runtime["version"] is None] == ["tensorflow1"]
    assert (found["opencv"]["version"], found["opencv"]["title"]) == (cv2.__version__, f"OpenCV {cv2.__version__}")


def test_doctor_says_how_to_get_what_is_not_there(facet, tmp_path):
    lines = facet("doctor", env={"FACET_CACHE": str(tmp_path)}).stdout.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("exports run "))
    assert lines[first + 1 : first + 3] == [
        "            TensorFlow 1.15 is not there: `facet doctor --fetch tensorflow-1.15` fetches it (110 MB)",
        f"            OpenCV {cv2.__version__} reads pb, onnx",
    ]


def test_doctor_says_where_a_fetched_runtime_lies(facet, tensorflow_1):
    answer = facet("doctor", "--fetch", "tensorflow-1.15")
    sentence = f"TensorFlow 1.15.5 lies in {tensorflow_1}; exports are checked in it from now on\n"
    assert (answer.code, answer.stdout, answer.stderr) == (0, sentence, "")
    assert json.loads(facet("doctor", "--fetch", "tensorflow-1.15", "--json").stdout) == {
        "folder": str(tensorflow_1),
        "version": "1.15.5",
    }


def test_doctor_fetches_nothing_where_there_is_no_network(facet, tmp_path):
    env = {"FACET_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    answer = facet("doctor", "--fetch", "tensorflow-1.15", env=env)
    assert answer.code == 1
    assert re.fullmatch(r"fetching TensorFlow 1.15.5: 110 MB, 280 MB unpacked \(\d+(\.\d+)? .B free\)\n", answer.stdout)
    assert answer.stderr.endswith(
        "could not be downloaded by pip: ERROR: No matching distribution found for tensorflow==1.15.5\n"
    )
    assert len(answer.stderr.splitlines()) == 1


def test_a_module_of_the_users_folder_is_not_taken_for_a_library(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise ImportError('the wrong json')")
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "tensorflow.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "far"))
    assert ask_tensorflow()["error"] == "ImportError: broken on purpose"


@pytest.mark.gpu
def test_doctor_names_the_gpu(facet):
    names = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    values = json.loads(facet("doctor", "--json").stdout)
    assert values["tensorflow"]["gpus"] == [name for name in names if name]
    assert values["nvidia"]["driver"] is not None
