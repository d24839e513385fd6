"""What `summarize` found, in words."""

from collections.abc import Sequence
from typing import Any
from unicodedata import combining, east_asian_width

from hdf5_helper.wording import bytes_text, count_text

Values = dict[str, Any]

#: Classes of a label or group, and pairs or persons, that are printed; --json has all of them.
_MOST = 20


def sentences(values: Values) -> list[str]:
    """Gives the whole answer in lines.

    Args:
        values: of `summarize`; what `name_leaks` and a grid added is told too.
    """
    return [
        *_head(values),
        *_table(values),
        *(_weights(label, weights) for label, weights in values["balanced_weights"].items() if weights),
        *_persons(values["subjects"]),
        *_copies(values["duplicates"]),
        *_near(values.get("near_duplicates")),
        *_pictures(values),
    ]


def _head(values: Values) -> list[str]:
    size = bytes_text(values["bytes"])
    return [
        f"{values['path']}: {count_text(values['examples'], 'example')}, {values['storage']} storage, {size}",
        f"images {_sizes(values['image_sizes'])}, digest {values['images_digest'][:16]}",
    ]


def _sizes(sizes: Values) -> str:
    smallest, largest = ("×".join(map(str, sizes[which])) for which in ("smallest", "largest"))
    if sizes["different"] == 1:
        return smallest
    height, width, count = sizes["most_frequent"][0]
    side = sizes["shorter_side"]
    return (
        f"{smallest} to {largest} ({sizes['different']:,} sizes, {height}×{width} most often: {count:,});"
        f" shorter side {side['10 %']} to {side['90 %']} in 80 % of them, median {side['50 %']}"
    )


def _table(values: Values) -> list[str]:
    """Gives one row a class, with a column for each split and one for all."""
    columns = [*values["splits"].values(), values]
    rows = [("", [*values["splits"], "all"]), ("examples", [f"{column['examples']:,}" for column in columns])]
    for label, kinds in values["labels"].items():
        named, more = _kinds(label, kinds)
        rows += [(f"{label} {kind}", _cells(columns, "labels", label, kind)) for kind in named]
        rows += [(f"{label}: … {more:,} more", [])] if more else []
    for group, counts in values["groups"].items():
        named, more = _named(counts)
        rows += [(f"group {group} {kind}", _cells(columns, "groups", group, kind)) for kind in named]
        rows += [(f"group {group}: … {more:,} more", [])] if more else []
    name_width = max(24, *(_columns(name) + 2 for name, _cells in rows))
    width = max(14, *(_columns(cell) + 2 for _name, cells in rows for cell in cells))
    return [(_left(name, name_width) + "".join(_right(cell, width) for cell in cells)).rstrip() for name, cells in rows]


def _left(text: str, columns: int) -> str:
    return text + " " * (columns - _columns(text))


def _right(text: str, columns: int) -> str:
    return " " * (columns - _columns(text)) + text


def _columns(text: str) -> int:
    """Gives how many columns of a terminal a text takes: two for a letter as wide as high, none for an accent alone."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _kinds(label: str, kinds: Values) -> tuple[list[str], int]:
    """Gives the rows of a label, and the number of classes left out."""
    if label == "age":
        return ["youngest", "median", "oldest", *kinds["decades"], *(["unknown"] if kinds["unknown"] else [])], 0
    return (list(kinds), 0) if label == "attributes" else _named(kinds)


def _named(counts: Values) -> tuple[list[str], int]:
    """Gives the names with the largest counts, in their old order where none is left out, and how many were.

    There is a row `unknown` only where there is one.
    """
    named = [name for name in counts if name != "unknown"]
    unknown = ["unknown"] if counts["unknown"] else []
    if len(named) <= _MOST:
        return [*named, *unknown], 0
    return [*sorted(named, key=lambda name: -counts[name])[:_MOST], *unknown], len(named) - _MOST


def _cells(columns: Sequence[Values], what: str, name: str, kind: str) -> list[str]:
    return [_cell(column[what][name], kind) for column in columns]


def _cell(kinds: Values, kind: str) -> str:
    value = kinds.get(kind, kinds.get("decades", {}).get(kind, 0))
    if isinstance(value, dict):
        return f"{value['yes']:,} yes"
    return "-" if value is None else f"{value:,g}" if isinstance(value, float) else f"{value:,}"


def _weights(label: str, weights: Values) -> str:
    """Gives one line; of many classes those that weigh most, which are the rarest."""
    named = list(weights) if label == "age" else sorted(weights, key=lambda name: -weights[name])[:_MOST]
    shown = [f"{name} {weights[name]:.3f}" for name in weights if name in named]
    more = [f"… {len(weights) - len(named):,} more"] if len(weights) > len(named) else []
    what = "balanced weight of a yes" if label == "attributes" else f"balanced weights of {label}"
    return f"{what}: {', '.join([*shown, *more])}"


def _persons(subjects: Values) -> list[str]:
    if not subjects["persons"]:
        return ["persons unknown"]
    without = subjects["examples_without"]
    unknown = f", {count_text(without, 'example')} of unknown persons" if without else ""
    several = subjects["in_several_splits"]
    lines = [f"{count_text(subjects['persons'], 'person')}{unknown}; {several:,} in several splits"]
    lines += [_seen(name, seen) for name, seen in subjects["seen_before"].items() if seen["persons"]]
    return [*lines, *_names(subjects.get("names_in_several_splits", ()))]


def _names(persons: Sequence[str]) -> list[str]:
    more = [f"… {len(persons) - _MOST:,} more, see --json"] if len(persons) > _MOST else []
    return [f"in several splits: {', '.join([*persons[:_MOST], *more])}"] if persons else []


def _seen(split: str, seen: Values) -> str:
    before = "train" if split == "validation" else "train or validation"
    persons, those = count_text(seen["persons"], "person"), "that person" if seen["persons"] == 1 else "those persons"
    return (
        f"warning: {persons} of {split} {'is' if seen['persons'] == 1 else 'are'} in {before} too:"
        f" {seen['examples']:,} of its {seen['of']:,} examples show {those}, so figures on {split} look too good"
    )


def _copies(found: Values) -> list[str]:
    copies = count_text(found["copies"], "byte-identical copy", "byte-identical copies")
    several = f"; {count_text(found['in_several_splits'], 'image')} in several splits"
    pairs = f" ({count_text(found['pairs_across_splits'], 'pair')})" if found["pairs_across_splits"] else ""
    differ = found["with_different_labels"]
    labels = f"; {count_text(differ, 'image')} with different labels" if differ else ""
    named = [" = ".join(map(_example, listed)) for listed in found.get("listed", ())]
    return [f"{copies}{several}{pairs}{labels}", *_some(named)]


def _near(found: Values | None) -> list[str]:
    if found is None:
        return []
    pairs = [
        f"{' ~ '.join(map(_example, pair['examples']))}: {pair['likeness']:.2f} alike, {pair['distance']} bits apart"
        for pair in found["pairs"]
    ]
    count, left_out = len(pairs) + found["pairs_left_out"], found["images_left_out"]
    lines = [f"{count_text(count, 'near-duplicate pair')} across splits", *_some(pairs)]
    if found["pairs_left_out"]:
        lines.append(f"the likest {len(pairs):,} of the near-duplicate pairs are in --json")
    if left_out:
        verb = "was" if left_out == 1 else "were"
        lines.append(f"{count_text(left_out, 'image')} {verb} not compared: too many others look the same")
    return lines


def _example(example: Values) -> str:
    return f"{example['path']} ({example['split']})"


def _some(texts: Sequence[str]) -> list[str]:
    """Gives the first lines of many."""
    return [*texts[:_MOST], *([f"… {len(texts) - _MOST:,} more, see --json"] if len(texts) > _MOST else [])]


def _pictures(values: Values) -> list[str]:
    grid, pairs, not_drawn = (values.get(what) for what in ("grid", "pairs_picture", "pairs_not_drawn"))
    return [
        *([f"{grid['path']}: {count_text(grid['examples'], 'example')}"] if grid else []),
        *([f"{pairs['path']}: {count_text(pairs['pairs'], 'pair')} across splits"] if pairs else []),
        *([_not_drawn(not_drawn)] if not_drawn else []),
    ]


def _not_drawn(pairs: Values) -> str:
    what = f"the picture of {count_text(pairs['pairs'], 'pair')} across splits"
    return f"{pairs['path']}: cannot be written, so {what} is left out; --pairs PAIRS.png draws it elsewhere"
