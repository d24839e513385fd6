import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = {name: (ROOT / f"requirements-{name}.txt").read_text().splitlines() for name in ("cpu", "gpu", "dev")}


def requirements(name: str) -> list[str]:
    return [line for line in FILES[name] if line.strip() and not line.startswith("#")]


def pins(name: str) -> dict[str, str]:
    found = (re.match(r"([\w.-]+)(\[[\w,-]+\])?==([\w.]+)", line) for line in requirements(name))
    return {match[1].lower(): match[3] for match in found}


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_exactly(name):
    assert [line for line in requirements(name) if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\d", line)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_pin_says_why_it_is_there(name):
    lines = [line for line in requirements(name) if not line.startswith("tensorflow")]
    assert [line for line in lines if not re.search(r"  # \w+", line)] == []


def test_both_sets_are_the_same_but_for_tensorflow():
    cpu, gpu = ([line for line in requirements(name) if not line.startswith("tensorflow")] for name in ("cpu", "gpu"))
    assert cpu == gpu
    assert pins("cpu")["tensorflow"] == pins("cpu")["tensorflow-cpu"] == pins("gpu")["tensorflow"]
    assert requirements("gpu")[0].startswith("tensorflow[and-cuda]==")


def test_the_environment_has_what_is_pinned():
    wanted = {**pins("cpu"), **pins("dev")}
    wanted.pop("tensorflow" if "tensorflow-cpu" in installed() else "tensorflow-cpu")
    assert {name: metadata.version(name) for name in wanted} == wanted


def installed() -> set[str]:
    return {str(found.name).lower().replace("_", "-") for found in metadata.distributions()}


def test_everything_imported_is_required():
    import_names = {"opencv-python-headless": "cv2", "pillow": "PIL", "scikit-learn": "sklearn", "pyyaml": "yaml"}
    import_names |= {"ai-edge-litert": "ai_edge_litert"}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    optional = {line.partition("==")[0] for lines in extras.values() for line in lines}
    required = {import_names.get(name, name) for name in {*pins("cpu"), *optional}}
    sources = [path for package in ("hdf5_helper", "models", "scripts") for path in (ROOT / package).rglob("*.py")]
    used = {name.partition(".")[0] for path in sources for name in imported(ast.parse(path.read_text()))}
    ours = {"benchmarks", "hdf5_helper", "models", "scripts"}
    brought_by_tensorflow = {"google", "ml_dtypes"}  # its protobuf, its bfloat16 for NumPy
    assert used - set(sys.stdlib_module_names) - ours - required - brought_by_tensorflow == set()


def imported(tree: ast.Module) -> list[str]:
    nodes = list(ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return [*plain, *(node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)]


def test_nothing_can_be_published_by_accident():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "dependencies" not in project
