"""Conditions on examples, such as `age >= 16 and gender == female`: compared column by column, nothing is executed."""

import ast
import itertools
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.labels import UNKNOWN_CLASS, label_kind
from hdf5_helper.reading.packed_index import PackedIndex
from hdf5_helper.storage.file_format import NO_FOLD, SPLIT_NAMES, UNKNOWN_SUBJECT

Mask = NDArray[np.bool_]
_Compare = Callable[[Any, Any], Any]

#: What an unknown value is written as, in any case, in `gender != unknown`.
_UNKNOWN = "unknown"

_COMPARISONS: Mapping[type[ast.cmpop], _Compare] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: `16 <= age` is `age >= 16`.
_SWAPPED = {operator.lt: operator.gt, operator.le: operator.ge, operator.gt: operator.lt, operator.ge: operator.le}


#: Quoted text, which is taken as it is; a number; a word of letters, digits, _ . - as names are.
_PIECES = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<number>-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w.-]))|(?P<word>[\w-][\w.-]*)"""
)

#: Words of the language; a column of such a name is quoted.
_GRAMMAR = ("and", "in", "is", "not", "or")


class _RefusedError(Exception):
    """The condition is none; the message is the reason."""


def matching(index: PackedIndex, condition: str) -> Mask:
    """Says which examples meet a condition, bool (N,).

    A condition compares columns (labels, groups, `split`, `fold`, `subject`, `path`) with numbers, words or quoted
    texts by `== != < <= > >=` and `in (a, b)`, joined by `and`, `or`, `not` and brackets. Classes are compared by
    name. An unknown value meets `!=`, and comparisons with the word `unknown` (in any case), and no others.

    Words are of letters, digits, `_`, `.` and `-`, whether they name a column or a class. Quotes make a word of
    anything else, and of `and`, `in`, `is`, `not`, `or`, and digits: `'not' == x`. Where both sides of a comparison
    name a column, the left one is the column.

    Args:
        index: of a packed file.
        condition: such as `age >= 16 and gender == female`.

    Raises:
        FacetError: not such a condition, or a column that the file does not have.
    """
    try:
        return _Condition(index).mask(ast.parse(_PIECES.sub(_plain, condition.strip()), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        reason = "is no condition"
    except OverflowError:
        reason = "has a number that is too large"
    except _RefusedError as refused:
        reason = str(refused)
    raise FacetError(f"--where {condition!r}: {reason}, expected one such as age >= 16 and gender == female")


class _Condition:
    """Conditions on the examples of one file."""

    def __init__(self, index: PackedIndex) -> None:
        self._index = index
        self._names = ("fold", "path", "split", "subject", *index.label_names, *index.groups)

    def mask(self, node: ast.expr) -> Mask:
        """Gives what meets the condition of a node."""
        if isinstance(node, ast.BoolOp):
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return np.asarray(join.reduce([self.mask(value) for value in node.values]))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self.mask(node.operand)
        if isinstance(node, ast.Compare):
            pairs = zip(itertools.pairwise([node.left, *node.comparators]), node.ops, strict=True)
            return np.asarray(np.logical_and.reduce([self._pair(*sides, kind) for sides, kind in pairs]))
        raise _RefusedError(f"{ast.unparse(node)} compares nothing")

    def _pair(self, left: ast.expr, right: ast.expr, kind: ast.cmpop) -> Mask:
        if isinstance(kind, ast.In):
            return np.asarray(np.logical_or.reduce([self._pair(left, value, ast.Eq()) for value in _listed(right)]))
        if isinstance(kind, ast.NotIn):
            return ~self._pair(left, right, ast.In())
        if type(kind) not in _COMPARISONS:
            raise _RefusedError(f"{ast.unparse(left)} is compared in a way that is not known")
        compare = _COMPARISONS[type(kind)]
        if name := self._column_name(left):
            return self._against(name, compare, _constant(right))
        if name := self._column_name(right):
            return self._against(name, _SWAPPED.get(compare, compare), _constant(left))
        raise _RefusedError(f"{ast.unparse(left)} is no column, {did_you_mean(ast.unparse(left), self._names)}")

    def _column_name(self, node: ast.expr) -> str | None:
        name = _word(node)
        return name if name in self._names else None

    def _against(self, name: str, compare: _Compare, value: float | str) -> Mask:
        column, is_known = self._column(name)
        is_text = column.dtype.kind == "U"
        is_class = is_text and value in column  # a class may be called unknown
        if str(value).lower() == _UNKNOWN and not is_class:
            return np.asarray(compare(is_known, np.zeros_like(is_known)))
        if isinstance(value, str) != is_text:
            raise _RefusedError(f"{name} is compared with {value!r}, and not with a {'name' if is_text else 'number'}")
        with np.errstate(over="ignore"):  # what is more than float32 holds is more than any age
            met = np.asarray(compare(column, value))
        return met & is_known | (~is_known if compare is operator.ne else np.False_)

    def _column(self, name: str) -> tuple[NDArray[Any], Mask]:
        """Gives a column as numbers or texts, and which of them are known."""
        index, all_known = self._index, np.ones(len(self._index), bool)
        if name == "path":
            return np.array(index.paths), all_known
        if name == "split":
            return np.array(SPLIT_NAMES)[index.split_numbers], all_known
        if name == "fold":
            return index.folds, index.folds != NO_FOLD
        if name == "subject":
            return _named(index.subjects, index.subject_names, UNKNOWN_SUBJECT)
        if name in index.groups:
            return _named(index.group(name), index.group_names(name), UNKNOWN_CLASS)
        return self._label(name)

    def _label(self, name: str) -> tuple[NDArray[Any], Mask]:
        values = self._index.labels(name)
        if name == "age":
            return values, ~np.isnan(values)
        if name == "attributes":
            raise _RefusedError("attributes are many, and cannot be compared")
        return _named(values, self._index.class_names(name), int(label_kind(name).unknown))


def _named(numbers: NDArray[Any], names: Sequence[str], unknown: int) -> tuple[NDArray[Any], Mask]:
    is_known = numbers != unknown
    return np.array([*names, ""])[np.where(is_known, numbers, len(names))], is_known


def _listed(node: ast.expr) -> list[ast.expr]:
    """Gives the values of a list; a lone value is a list of one, since brackets around it are not in the node."""
    if isinstance(node, ast.Tuple | ast.List) and node.elts:
        return node.elts
    if isinstance(node, ast.Name | ast.Constant | ast.UnaryOp):
        return [node]
    raise _RefusedError(f"{ast.unparse(node)} is no list of values in brackets")


def _plain(piece: re.Match[str]) -> str:
    """Gives a piece as Python has it: quoted where it is no word or number of Python's."""
    kind = str(piece.lastgroup)
    text = piece[kind]
    is_name = text.isascii() and text.isidentifier() and not keyword.iskeyword(text)
    return text if kind == "number" or (kind == "word" and (is_name or text in _GRAMMAR)) else repr(text)


def _word(node: ast.expr) -> str | None:
    """Gives the text of a word, bare or quoted."""
    if isinstance(node, ast.Name):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _constant(node: ast.expr) -> float | str:
    """Gives a number, or a quoted text or bare word as text."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _constant(node.operand)
        if isinstance(value, int | float):
            return -value
    word = _word(node)
    if word is not None:
        return word
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    raise _RefusedError(f"{ast.unparse(node)} is no number and no name")
