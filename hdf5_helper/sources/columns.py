"""What the columns of a manifest are: roles, labels, groups, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import RESERVED_LABELS
from hdf5_helper.sources.source_options import SourceOptions

Row = Mapping[str, str]

ROLES = ("path", "subject", "split", "fold")

#: Columns for honest evaluation by group, never targets, whoever names them.
_GROUPS = ("origin", "race")

#: A name with a meaning of its own is known in any case; attributes are not one column but many.
_NAMES = (*ROLES, *_GROUPS, *(label for label in RESERVED_LABELS if label != "attributes"))

_FEW = 20  # so many different values are classes even in a short table; more must come back ten times each


@dataclass(frozen=True)
class Columns:
    """Which column is what.

    Attributes:
        roles: column by role: path, subject, split, fold.
        labels: column by label.
        groups: column by group.
        unused: the other columns.
    """

    roles: Mapping[str, str]
    labels: Mapping[str, str]
    groups: Mapping[str, str]
    unused: tuple[str, ...]

    def sentences(self) -> tuple[str, ...]:
        """Says what became of every column, and what may be missing."""
        roles = [" ".join(dict.fromkeys((role, column))) for role, column in self.roles.items()]
        parts = (
            _listed(
                "labels", [name if name == column else f"{name} ({column})" for name, column in self.labels.items()]
            ),
            *roles,
            _listed("groups", list(self.groups)),
            _listed("not used", self.unused),
        )
        return f"columns: {'; '.join(filter(None, parts))}", *self._id_hint()

    def _id_hint(self) -> tuple[str, ...]:
        ids = [column for column in self.unused if _is_id(column)]
        if not ids or "subject" in self.roles:
            return ()
        return (f"{', '.join(ids)}: ids are no labels; where one says who is shown, use --columns subject={ids[0]}",)


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what} {', '.join(names)}" if names else ""


def choose_columns(file: object, header: Sequence[str], rows: Sequence[Row], options: SourceOptions) -> Columns:
    """Decides what each column is: named ones as they are named, then those with a known name, then classes.

    Args:
        file: how errors name the manifest.
        header: the columns.
        rows: their values.
        options: columns and groups that are named.

    Raises:
        FacetError: a named column is not there, or no column holds paths.
    """
    for column in (*options.columns.values(), *options.groups):
        if column not in header:
            raise FacetError(f"{file}: has no column {column!r}, {did_you_mean(column, header)}")
    found = {standard_name(name): column for name, column in options.columns.items()}
    taken = {*found.values(), *options.groups}
    for column in sorted(header, key=lambda name: name != standard_name(name)):  # `age` counts before `Age`
        if column not in taken and standard_name(column) in _NAMES and standard_name(column) not in found:
            found[standard_name(column)] = column
            taken.add(column)
    if "path" not in found:
        raise FacetError(
            f"{file}: has no column 'path', expected one, or --columns path=NAME with one of {', '.join(header)}"
        )
    classes = [column for column in header if column not in taken and _is_class(column, [row[column] for row in rows])]
    found |= {column: column for column in classes if column not in found}
    groups = {column: column for column in options.groups} | {name: found[name] for name in _GROUPS if name in found}
    used = {*found.values(), *groups}
    return Columns(
        roles={role: found[role] for role in ROLES if role in found},
        labels={name: column for name, column in found.items() if name not in (*ROLES, *groups)},
        groups=groups,
        unused=tuple(column for column in header if column not in used),
    )


def standard_name(name: str) -> str:
    """Gives the name that Facet knows, whatever case it is written in; other names as they are."""
    return name.lower() if name.lower() in _NAMES else name


def _is_id(column: str) -> bool:
    return column.lower() == "id" or column.lower().endswith("_id")


def _is_class(column: str, values: Sequence[str]) -> bool:
    """Says whether a column that nobody named holds classes: no ids or measurements, and values that come back."""
    plain = column.replace("_", "").replace("-", "").isalnum() and column.lower() not in RESERVED_LABELS
    known = [value for value in values if value]
    different = set(known)
    if not plain or _is_id(column) or len(different) < 2 or any(map(_is_measured, different)):
        return False
    repeated = len(known) <= _FEW or 2 * len(different) <= len(known)
    return (len(different) <= _FEW and repeated) or 10 * len(different) <= len(known)


def _is_measured(value: str) -> bool:
    """Says whether a value is a number with a decimal point or exponent: a measurement, no class."""
    try:
        float(value)
    except ValueError:
        return False
    return not value.lstrip("+-").isdecimal()
