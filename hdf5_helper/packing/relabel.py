"""Corrected labels from a table: `facet repack --labels FIXES.csv`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hdf5_helper.errors import FacetError
from hdf5_helper.labels import GENDER_WORDS, RESERVED_LABELS
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.sources.columns import standard_name
from hdf5_helper.sources.records import LabelValue, Listing, Record, RejectedError
from hdf5_helper.sources.tables import Table, read_table
from hdf5_helper.sources.values import age_labels, read_value
from hdf5_helper.wording import count_text

#: What makes a value unknown, in any case, unless a class or person of the files has this very name.
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Fix:
    """What is corrected of one example; None makes it unknown, and what is not named stays as it is.

    Attributes:
        labels: by name.
        groups: by name.
        roles: nothing, or `subject`.
    """

    labels: Mapping[str, LabelValue | None]
    groups: Mapping[str, str | None]
    roles: Mapping[str, str | None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is corrected."""
        return not (self.labels or self.groups or self.roles)


@dataclass(frozen=True)
class _Target:
    """What a column corrects.

    Attributes:
        kind: `labels`, `groups` or `roles`, as in Fix.
        name: of the label, group or role.
        named: the classes or persons that the files know.
    """

    kind: str
    name: str
    named: frozenset[str]

    def value(self, text: str) -> LabelValue | None:
        """Gives what a written value means; raises RejectedError."""
        if text.lower() == _UNKNOWN and text not in self.named:
            return None
        if self.kind != "labels":
            return text
        if self.name == "gender" and text.lower() not in GENDER_WORDS:
            raise RejectedError(f"gender {text!r}: expected male, female or unknown")
        return read_value(self.name, text, {})


def read_fixes(file: Path, indices: Sequence[PackedIndex]) -> dict[str, Fix]:
    """Reads a table with a column `path`, and columns of labels, groups or `subject`; an empty value says nothing.

    Args:
        file: the table, separated as a manifest may be.
        indices: of the packed files that are corrected.

    Returns:
        The fixes by path.

    Raises:
        FacetError: it cannot be read, has a column that corrects nothing, or a row that cannot be taken.
    """
    if not file.is_file():
        raise FacetError(f"--labels {file}: no such file, expected a CSV file with a column path")
    table = read_table(file)
    targets = _targets(file, table.header, indices)
    known = Counter(path for index in indices for path in index.paths)
    fixes: dict[str, Fix] = {}
    for number, (line, _values) in enumerate(table.written):
        try:
            path = _path(table, number, known, fixes)
            fixes[path] = _fix(table.rows[number], targets)
        except RejectedError as reason:
            raise FacetError(f"--labels {file}: line {line}: {reason}") from None
    return fixes


def _targets(file: Path, header: Sequence[str], indices: Sequence[PackedIndex]) -> dict[str, _Target]:
    """Gives what each column corrects; refuses those that correct nothing."""
    possible = _possible(indices)
    names = [name if name in possible else standard_name(name) for name in header]
    if "path" not in names:
        raise FacetError(f"--labels {file}: has no column 'path', expected one beside the labels to correct")
    if twice := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise FacetError(f"--labels {file}: has two columns {twice[0]!r}, expected one")
    others = [column for column, name in zip(header, names, strict=True) if name and name not in (*possible, "path")]
    if others:
        raise FacetError(
            f"--labels {file}: cannot correct {', '.join(others)}, expected a column path and any of"
            f" {', '.join(sorted(possible))}"
        )
    return {column: possible[name] for column, name in zip(header, names, strict=True) if name in possible}


def _possible(indices: Sequence[PackedIndex]) -> dict[str, _Target]:
    """Gives all that can be corrected: what the files have, persons, gender, age and age group."""

    def named(kind: str, name: str) -> frozenset[str]:
        found: set[str] = set()
        for index in indices:
            if kind == "labels" and name in index.label_names:
                found.update(index.class_names(name))
            elif kind == "groups" and name in index.groups:
                found.update(index.group_names(name))
            elif kind == "roles":
                found.update(index.subject_names)
        return frozenset(found)

    targets = [("roles", "subject")]
    targets += [("groups", name) for index in indices for name in index.groups]
    targets += [("labels", name) for index in indices for name in index.label_names]
    targets += [("labels", name) for name in RESERVED_LABELS]
    return {
        name: _Target(kind, name, named(kind, name)) for kind, name in dict.fromkeys(targets) if name != "attributes"
    }


def _path(table: Table, number: int, known: Counter[str], fixes: Mapping[str, Fix]) -> str:
    """Gives the path of a row as the files have it; backslashes may be separators, and blanks around it not count."""
    place, values = [name.lower() for name in table.header].index("path"), table.written[number][1]
    written = values[place] if place < len(values) else ""
    spelt = (written, written.strip(), written.strip().replace("\\", "/"))
    path = next((path for path in spelt if path in known), None)
    if path is None:
        raise RejectedError(f"no example has the path {written!r}, expected one such as {min(known)!r}")
    if known[path] > 1:
        raise RejectedError(f"the path {path!r} is in several of the files, expected each by itself")
    if path in fixes:
        raise RejectedError(f"the path {path!r} is there more than once, expected one line each")
    return path


def _fix(row: Mapping[str, str], targets: Mapping[str, _Target]) -> Fix:
    given: dict[str, dict[str, LabelValue | None]] = {"labels": {}, "groups": {}, "roles": {}}
    for column, target in targets.items():
        if row[column]:
            given[target.kind][target.name] = target.value(row[column])
    return Fix(**given)  # type: ignore[arg-type]


def relabelled(listings: Sequence[Listing], fixes: Mapping[str, Fix], file: Path) -> list[Listing]:
    """Gives listings with the corrected labels, and the sentence that says how many were corrected.

    Fixes that correct nothing are not counted.
    """
    fixes = {path: fix for path, fix in fixes.items() if not fix.is_empty}
    changed = [_with_fixes(listing, fixes) for listing in listings]
    found = sum(record.path in fixes for listing in listings for record in listing.records)
    corrected = sum(listing.corrected for listing in changed)
    sentence = f"{file}: {count_text(corrected, 'example')} corrected"
    if found > corrected:
        sentence += f", {found - corrected:,} had these labels already"
    if len(fixes) > found:
        sentence += f", {len(fixes) - found:,} not kept"
    return [*changed[:-1], replace(changed[-1], sentences=(*changed[-1].sentences, sentence))]


def _with_fixes(listing: Listing, fixes: Mapping[str, Fix]) -> Listing:
    old = listing.records
    records = tuple(_corrected(record, fixes[record.path]) if record.path in fixes else record for record in old)
    corrected = sum(new != record for new, record in zip(records, old, strict=True) if new is not record)
    return replace(listing, records=records, corrected=corrected)


def _corrected(record: Record, fix: Fix) -> Record:
    labels: dict[str, LabelValue | None] = dict(record.labels)
    age = fix.labels.get("age")
    if age is not None or ("age" in fix.labels and "age" in labels):  # the group follows from it, or goes with it
        labels.pop("age_group", None)
        labels |= {} if age is None else age_labels(float(age))
    return replace(
        record,
        labels={name: value for name, value in (labels | dict(fix.labels)).items() if value is not None},
        subject=fix.roles.get("subject", record.subject),
        groups={name: value for name, value in ({**record.groups, **fix.groups}).items() if value is not None},
    )
