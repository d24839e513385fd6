"""What tests share: real images, sample trees, packed files, and the real command in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from hdf5_helper.errors import FacetError
from hdf5_helper.packing.packer import PackOptions, pack
from hdf5_helper.sample import SampleOptions, write_sample
from models.export.tensorflow_1 import install

ROOT = Path(__file__).resolve().parent.parent

# As `facet` has it, before anybody imports TensorFlow; processes of tests inherit it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and with them all that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run; a slow machine is no failure.
hypothesis.settings.register_profile("facet", deadline=None, derandomize=True, database=None, max_examples=50)
hypothesis.settings.load_profile("facet")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file in one process, where they share what is made once; each page of the docs is alone."""
    for item in items:
        page = item.name if item.name.startswith("test_a_page_does_what_it_shows") else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem} {page}"))


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, and all that it printed."""

    code: int
    stdout: str
    stderr: str


def shared_folders(variable: str, folder: str, what: str) -> Callable[[str], Path]:
    """Gives what finds a folder in $VARIABLE, else in ../shared/FOLDER.

    One that is missing there fails the test if the variable is set, and skips it otherwise.
    """

    def find(name: str) -> Path:
        given = os.environ.get(variable)
        found = (Path(given) if given else ROOT.parent / "shared" / folder) / name
        if found.is_dir():
            return found
        if given:
            pytest.fail(f"{variable}={given} has no folder {name}")
        pytest.skip(f"{what} not found: {found} (set {variable})")

    return find


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Gives the folder of a set of real images by name, such as `agegender_cleaned`."""
    return shared_folders("FACET_DATA", "data", "real images")


@pytest.fixture(scope="session")
def shared_fixtures() -> Callable[[str], Path]:
    """Gives the folder of published weight files of a format: `torch7`, `caffe`, `matconvnet`."""
    return shared_folders("FACET_FIXTURES", "fixtures", "published weight files")


@pytest.fixture(scope="session")
def tensorflow_1() -> Path:
    """Gives the folder of TensorFlow 1.15's C library, fetched once for all sessions.

    Where it cannot be had the test fails if FACET_REQUIRE_TENSORFLOW_1 is set, and skips otherwise.
    """
    try:
        return install()
    except FacetError as error:
        if "FACET_REQUIRE_TENSORFLOW_1" in os.environ:
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def sample_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Gives a drawn tree: `sample_tree("agegender", count=200, seed=0, image_size=64, mess=False)`.

    A tree is drawn once a session and shared: tests must not write to it.
    """
    trees: dict[SampleOptions, Path] = {}

    def tree(layout: str, count: int = 200, seed: int = 0, image_size: int = 64, *, mess: bool = False) -> Path:
        options = SampleOptions(layout, count, seed, image_size, mess)
        if options not in trees:
            folder = tmp_path_factory.mktemp("sample") / layout
            write_sample(folder, options)
            trees[options] = folder
        return trees[options]

    return tree


@pytest.fixture(scope="session")
def facet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Answer]:
    """Runs the real command: `facet("pack", tree, file, cwd=folder, env={"NAME": "value"})` gives an Answer.

    Without `cwd` it runs in a new empty folder.
    """

    def run(
        *args: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300
    ) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "scripts", *map(str, args)],
            cwd=cwd or tmp_path_factory.mktemp("cwd"),
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Gives an empty folder for a pack's file and what may lie beside it."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, sample_tree: Callable[..., Path]) -> Callable[..., Path]:
    """Gives a packed file of a drawn tree: `packed("agegender", count=300, mess=True, storage="raw")`.

    `count`, `side` and `mess` are those of the tree, all other keywords those of PackOptions. A file is packed once a
    session and shared: tests must not write to it.
    """
    files: dict[str, Path] = {}

    def get(layout: str, *, count: int = 200, side: int = 64, mess: bool = False, **options: Any) -> Path:
        key = repr((layout, count, side, mess, sorted(options.items())))
        if key not in files:
            file = tmp_path_factory.mktemp("packed") / f"{layout}.h5"
            pack([sample_tree(layout, count, image_size=side, mess=mess)], file, PackOptions(**options))
            files[key] = file
        return files[key]

    return get
