"""The programs of docs/export.md, as they stand there: compiled, run on one drawn face, and held against Keras."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from page_blocks import blocks, is_installed
from small_models import CAFFE, SLIM, application, model_on, narrow_vgg, values_of

from models.export.frozen_graph import freeze
from models.export.litert_model import to_litert
from models.export.onnx_model import to_onnx
from models.export.saved_model import write_saved_model

ROOT = Path(__file__).resolve().parent.parent
STAND_INS = ROOT / "tests" / "stand_ins"
LANGUAGES = ("python", "c", "cpp", "csharp", "java")
SIZE = 64


def programs(page):
    """Gives {heading: program} of the section "Load it": the first block of a language below each `###` heading."""
    lines = page.splitlines()
    first, last = lines.index("## Load it"), lines.index("## Convert a Keras file in a script")
    found = {}
    for info, line, code in blocks(page):
        headings = [text[4:] for text in lines[first : line - 1] if text.startswith("### ")]
        if line <= last and headings and info in LANGUAGES:
            found.setdefault(headings[-1], "\n".join(code) + "\n")
    return found


PROGRAMS = programs((ROOT / "docs" / "export.md").read_text())
PYTHON = [heading for heading in PROGRAMS if heading.startswith("Python")]


@dataclass(frozen=True)
class Work:
    """A folder with an exported model and the pictures that the page makes; what Keras estimates by the small one."""

    folder: Path
    frozen: object
    model: object
    description: object
    face: np.ndarray  # RGB, uint8 (64, 64, 3)

    def estimates(self, face):
        """Gives Keras's (age, P(female)) for one RGB picture."""
        values = values_of(self.model, self.description, face[np.newaxis])
        return float(values["age"][0, 0]), float(values["gender"][0, 0])


@pytest.fixture(scope="module")
def picture(sample_tree):
    """A drawn face, BGR, neither square nor of the model's size."""
    drawn = min(path for path in sample_tree("agegender", 4, image_size=96).rglob("*.jpg"))
    return cv2.imread(str(drawn))[:, :88]


def work_on(base, preprocessing, picture, folder):
    """Exports a model with random weights on a backbone, and lays the pictures beside it."""
    model, description = model_on(base, ("age", "gender"), preprocessing)
    frozen = freeze(model, description)
    (folder / "real.pb").write_bytes(frozen.data)
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    for name, pixels in (("face.png", picture), ("face64.png", small), ("face64.ppm", small)):
        cv2.imwrite(str(folder / name), pixels)
    return Work(folder, frozen, model, description, small[..., ::-1])


@pytest.fixture(scope="module")
def work(tmp_path_factory, picture):
    return work_on(application("MobileNet", SIZE, alpha=0.25), SLIM, picture, tmp_path_factory.mktemp("clients"))


def run(command, cwd, **environment):
    """Gives what a command prints; fails with what it says if it does."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def printed(line):
    """Reads `27.3 years, P(female) 0.84`, the one line of every program, as (27.3, 0.84)."""
    match = re.fullmatch(r"(-?\d+\.\d) years, P\(female\) ([01]\.\d\d)\n", line)
    assert match, line
    return float(match[1]), float(match[2])


def assert_prints(expected, line):
    """Asserts the numbers as rounded in the line, one unit of the third decimal apart at most."""
    age, female = printed(line)
    assert abs(age - expected[0]) <= 0.051
    assert abs(female - expected[1]) <= 0.0051


def need(*commands):
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")


def test_every_program_that_the_page_lists_is_there_and_complete():
    page = (ROOT / "docs" / "export.md").read_text()
    listed = re.findall(r"^\| \[(.+?)\]\(#", page, re.MULTILINE)
    assert list(PROGRAMS) == listed
    assert [name for name, code in PROGRAMS.items() if not re.search(r"^(import|#include|using) ", code)] == []


def test_the_picture_tells_the_usual_mistakes_apart(work, picture):
    right = work.estimates(work.face)
    mistakes = {
        "BGR": work.face[..., ::-1],
        "nearest": cv2.resize(picture[..., ::-1], (SIZE, SIZE), interpolation=cv2.INTER_NEAREST),
        "0-1": work.face / 255,
        "mean": work.face - 127.5,
        "turned": work.face.transpose(1, 0, 2),
    }
    unseen = [
        name
        for name, face in mistakes.items()
        if all(abs(a - b) <= step for a, b, step in zip(work.estimates(face), right, (0.1, 0.01), strict=True))
    ]
    assert unseen == []


@pytest.fixture(scope="module")
def slow_lines(work):
    """What the programs print that import TensorFlow, by heading: one process starts it once, and keeps them apart."""
    write_saved_model(work.frozen, work.folder / "real_saved_model")
    slow = [
        heading for heading in PYTHON if re.search(r"^(import tensorflow|from models)", PROGRAMS[heading], re.MULTILINE)
    ]
    each = "import sys\nfor code in sys.argv[1:]:\n    exec(code, {'__name__': '__main__'})\n"
    codes = [PROGRAMS[heading] for heading in slow]
    lines = run([sys.executable, "-c", each, *codes], work.folder, PYTHONPATH=str(ROOT)).splitlines(keepends=True)
    return dict(zip(slow, lines, strict=True))


@pytest.mark.parametrize("heading", PYTHON)
def test_a_python_program_prints_what_keras_estimates(work, slow_lines, heading):
    code = PROGRAMS[heading]
    for package in re.findall(r"^(?:import|from) (onnxruntime|ai_edge_litert)\b", code, re.MULTILINE):
        if not is_installed(package):
            pytest.skip(f"{package} is not installed")
    if "real.onnx" in code:
        (work.folder / "real.onnx").write_bytes(to_onnx(work.frozen))
    if "real.tflite" in code:
        (work.folder / "real.tflite").write_bytes(to_litert(work.frozen))
    line = slow_lines[heading] if heading in slow_lines else run([sys.executable, "-c", code], work.folder)
    assert_prints(work.estimates(work.face), line)


# ---- compiled programs


def tensorflow_1_library(folder, request):
    """Puts TensorFlow 1.15's C interface together as one library for C programs, `libtensorflow.so`."""
    source = request.getfixturevalue("tensorflow_1")
    parts = ["_pywrap_tensorflow_internal.so", "libtensorflow_framework.so.1"]
    for name in parts:
        (folder / name).symlink_to(source / name)
    # It was built as a Python module: a program that is not Python has to give each Python symbol a place, unused.
    undefined = run(["nm", "-D", "--undefined-only", parts[0]], folder).split()
    symbols = [name for name in undefined if name.startswith(("Py", "_Py"))]
    (folder / "python.c").write_text("".join(f"char {name}[1024];\n" for name in symbols))
    linked = ["-Wl,--no-as-needed", *parts, "-Wl,-rpath,$ORIGIN"]
    run(["gcc", "-shared", "-fPIC", "python.c", "-o", "libtensorflow.so", *linked], folder)


def tensorflow_2_library(folder, _request):
    """Links the C interface of the installed TensorFlow as `libtensorflow.so`."""
    installed = tensorflow_package()
    for name in ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2"):
        (folder / name).symlink_to(installed / name)
    (folder / "libtensorflow.so").symlink_to("libtensorflow_cc.so.2")


def tensorflow_package():
    return Path(importlib.util.find_spec("tensorflow").origin).parent


@pytest.fixture(scope="module", params=[tensorflow_1_library, tensorflow_2_library], ids=["1.15", "2"])
def libtensorflow(request, tmp_path_factory):
    """A folder with `libtensorflow.so` of one version."""
    need("gcc", "nm")
    folder = tmp_path_factory.mktemp("libtensorflow")
    request.param(folder, request)
    return folder


@pytest.fixture(scope="module")
def c_program(libtensorflow, tmp_path_factory):
    """The C program, compiled and linked without a warning."""
    folder = tmp_path_factory.mktemp("c")
    (folder / "classify.c").write_text(PROGRAMS["C, TensorFlow's C library"])
    places = [f"-I{tensorflow_package() / 'include'}", f"-L{libtensorflow}", "-Wl,--copy-dt-needed-entries"]
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wl,--no-as-needed"]
    run(["gcc", *strict, *places, "classify.c", "-ltensorflow", "-o", "classify"], folder)
    return folder / "classify"


@pytest.mark.long
def test_the_c_program_prints_what_keras_estimates(work, libtensorflow, c_program):
    line = run([c_program], work.folder, LD_LIBRARY_PATH=str(libtensorflow))
    assert_prints(work.estimates(work.face), line)


@pytest.mark.long
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"real.pb": None}, "real.pb cannot be opened"),
        ({"real.pb": b"no graph"}, "Invalid GraphDef"),
        ({"face64.ppm": None}, "face64.ppm is no PPM with 8 bits a colour"),
        ({"face64.ppm": b"P6 64 64 255\nxx"}, "face64.ppm is shorter than it says"),
    ],
    ids=["no graph", "damaged graph", "no picture", "half a picture"],
)
def test_the_c_program_says_what_is_wrong(work, libtensorflow, c_program, tmp_path, damage, sentence):
    for name in ("real.pb", "face64.ppm"):
        content = damage.get(name, (work.folder / name).read_bytes())
        if content is not None:
            (tmp_path / name).write_bytes(content)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(libtensorflow), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([c_program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (1, "", sentence)


@pytest.fixture(scope="module")
def cpp_program(tmp_path_factory):
    """The C++ program, compiled without a warning against the system's OpenCV."""
    need("g++", "pkg-config")
    if subprocess.run(["pkg-config", "--exists", "opencv4"], check=False).returncode:
        pytest.skip("libopencv-dev is not installed")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "classify.cpp").write_text(PROGRAMS["C++, OpenCV"])
    flags = run(["pkg-config", "--cflags", "--libs", "opencv4"], folder).split()
    run(["g++", "-Wall", "-Wextra", "-Werror", "classify.cpp", *flags, "-o", "classify"], folder)
    return folder / "classify"


@pytest.mark.long
def test_the_cpp_program_prints_what_keras_estimates(work, cpp_program):
    assert_prints(work.estimates(work.face), run([cpp_program], work.folder))


@pytest.mark.long
@pytest.mark.parametrize(
    ("build", "preprocessing"),
    [
        pytest.param(narrow_vgg, CAFFE, id="VGG19"),
        *(
            pytest.param(partial(application, name), SLIM, id=name)
            for name in ("MobileNetV2", "ResNet50", "DenseNet121")
        ),
        pytest.param(partial(application, "MobileNetV3Small", include_preprocessing=False), SLIM, id="MobileNetV3"),
    ],
)
def test_the_system_s_opencv_computes_what_keras_does(cpp_program, picture, tmp_path, build, preprocessing):
    work = work_on(build(SIZE), preprocessing, picture, tmp_path)
    assert_prints(work.estimates(work.face), run([cpp_program], tmp_path))


def compiled_by_mono(heading, folder, *more):
    need("mcs", "mono")
    (folder / "Classify.cs").write_text(PROGRAMS[heading])
    run(["mcs", "-warnaserror", "Classify.cs", *more, "-out:Classify.exe"], folder)
    return ["mono", folder / "Classify.exe"]


@pytest.mark.long
def test_the_c_sharp_program_prints_what_keras_estimates(work, libtensorflow, tmp_path):
    program = compiled_by_mono("C#, TensorFlow's C library", tmp_path)
    line = run(program, work.folder, LD_LIBRARY_PATH=str(libtensorflow))
    assert_prints(work.estimates(work.face), line)


def means(face):
    """Gives what a stand-in for a runtime answers: the mean of red as age, the mean of blue / 255 as P(female)."""
    return float(face[..., 0].mean()), float(face[..., 2].mean() / 255)


@pytest.mark.long
def test_the_tensorflow_net_program_feeds_the_right_pixels(work, tmp_path):
    program = compiled_by_mono("C#, TensorFlow.NET", tmp_path, STAND_INS / "TensorFlowNet.cs")
    assert_prints(means(work.face), run(program, work.folder))


@pytest.mark.long
def test_the_age_estimator_sharp_program_compiles(work, tmp_path):
    program = compiled_by_mono("C#, AgeEstimatorSharp", tmp_path, STAND_INS / "AgeEstimatorSharp.cs")
    assert run(program, work.folder) == ""


@pytest.mark.long
def test_the_java_program_feeds_the_right_pixels(work, tmp_path):
    need("javac", "java")
    (tmp_path / "Classify.java").write_text(PROGRAMS["Java, TensorFlow"])
    sources = ["Classify.java", *STAND_INS.rglob("*.java")]
    run(["javac", "-Xlint:all", "-Werror", "-d", tmp_path, *sources], tmp_path)
    assert_prints(means(work.face), run(["java", "-cp", tmp_path, "Classify"], work.folder))
