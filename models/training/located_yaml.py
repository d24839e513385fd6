"""Flat YAML files that people write: every value with its line, every mistake with its place."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hdf5_helper.errors import FacetError

#: Bytes of a file of settings; a longer one is something else.
_LARGEST = 64 * 1024

#: Mappings and lists inside each other, the file's own mapping included.
_DEEPEST = 4


@dataclass(frozen=True)
class Located:
    """A value and the line that it stands on, from 1."""

    value: Any
    line: int


def read_located(path: Path) -> dict[str, Located]:
    """Reads a YAML file of settings: a mapping of names.

    Only plain values are made of it: no tags of other types, no anchors, no merging. It takes no more time than its 64
    KiB at most do, whatever they hold.

    Raises:
        FacetError: no such file, or what it is instead of such a mapping, with the line.
    """
    text = _text(path)
    try:
        _refuse_tricks(path, text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise FacetError(_yaml_sentence(path, error)) from None
    if node is None:
        raise FacetError(f"{path}: is empty, expected settings such as backbone: vgg19")
    if not isinstance(node, yaml.MappingNode):
        raise FacetError(f"{place(path, node)}: expected settings by name such as backbone: vgg19, found no mapping")
    return {name: Located(_made(path, value), key.start_mark.line + 1) for name, key, value in _pairs(path, node)}


def place(path: Path, node: Any) -> str:
    """Gives `FILE line N` for a node or event of YAML."""
    return f"{path} line {node.start_mark.line + 1}"


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise FacetError(f"{path}: {(error.strerror or str(error)).lower()}, expected a YAML file") from None
    if len(data) > _LARGEST:
        raise FacetError(f"{path}: has more than {_LARGEST:,} bytes, expected a YAML file of settings")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FacetError(f"{path} line {line}: is not UTF-8, expected a text file") from None


def _refuse_tricks(path: Path, text: str) -> None:
    """Refuses anchors and deep nesting before anything is built: both can make much of little."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = place(path, event)
        if getattr(event, "anchor", None) is not None:
            raise FacetError(f"{line}: has a YAML anchor or alias, expected each value as it is")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise FacetError(f"{line}: is nested {depth} deep, expected flat settings")


def _pairs(path: Path, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
    """Gives the names of a mapping with their nodes; refuses what is no name, and a name that comes again."""
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise FacetError(f"{place(path, key)}: expected a name before the colon, found a {key.id}")
        if key.value in lines:
            raise FacetError(f"{place(path, key)}: {key.value} is on line {lines[key.value]} already, expected it once")
        lines[key.value] = key.start_mark.line + 1
        yield key.value, key, value


def _made(path: Path, node: yaml.Node) -> Any:
    """Makes the plain value of a node."""
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return {name: _made(path, value) for name, _key, value in _pairs(path, node)}
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_made(path, value) for value in node.value]
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except yaml.YAMLError as error:
        raise FacetError(_yaml_sentence(path, error)) from None
    except (ValueError, OverflowError):  # a date of month 13, a number of ten thousand digits
        raise FacetError(f"{place(path, node)}: expected a plain value, found {node.value[:40]!r}") from None


def _yaml_sentence(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark is not None else ""
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}{line}: is no plain YAML ({' '.join(problem.split())})"
