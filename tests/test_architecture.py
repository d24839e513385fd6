import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("benchmarks", "hdf5_helper", "models", "scripts")

#: A module may import from its own layer and from those below it; the longest matching name counts.
LAYERS = {
    "hdf5_helper": 0,
    "models": 1,
    "models.training": 2,
    "models.export": 2,
    "models.interface": 3,
    "benchmarks": 3,
    "scripts": 4,
}
#: `models/__init__.py` re-exports this room and nothing else.
INTERFACE = "models.interface"
SIDE_BY_SIDE = ("models.training", "models.export")

HEAVY = ("tensorflow", "keras", "sklearn", "matplotlib")
PIPELINE = "hdf5_helper.reading.pipeline"


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module(path): path.read_text() for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
TESTS = {path.stem: ast.parse(path.read_text()) for path in (ROOT / "tests").glob("*.py")}


def offenders(check: Callable[[str], list[object]]) -> dict[str, list[object]]:
    """Gives every module in which `check` finds something, with what it found."""
    return {name: found for name in SOURCES if (found := check(name))}


def imported(node: ast.AST) -> list[str]:
    """Gives the modules that a statement imports; `from a import b` imports a, and a.b where that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    origin = f"{'.' * node.level}{node.module or ''}"
    return [origin, *(f"{origin}.{alias.name}" for alias in node.names if f"{origin}.{alias.name}" in SOURCES)]


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def statements(node: ast.AST, *, inside_functions: bool) -> Iterator[ast.AST]:
    """Gives the nodes below `node` that run: not those under TYPE_CHECKING, those in functions only if asked for."""
    for child in ast.iter_child_nodes(node):
        yield child
        lazy = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if not for_types_only(child) and (inside_functions or not lazy):
            yield from statements(child, inside_functions=inside_functions)


def imports(name: str, *, inside_functions: bool = True) -> list[str]:
    found = statements(TREES[name], inside_functions=inside_functions)
    return [other for node in found for other in imported(node)]


def package(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, room: str) -> bool:
    return f"{name}.".startswith(f"{room}.")


def layer(name: str) -> int:
    return LAYERS[max((room for room in LAYERS if within(name, room)), key=len)]


def functions(name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_there_is_something_to_check():
    assert {package(name) for name in SOURCES} == set(PACKAGES)
    assert "hdf5_helper.errors" in imports("hdf5_helper.reading.reader")
    assert "tensorflow" in imports(PIPELINE)


def test_imports_go_one_way():
    def upwards(name: str) -> list[object]:
        ours = [other for other in imports(name) if package(other) in PACKAGES]
        if name == "models":
            return [other for other in ours if not within(other, INTERFACE)]
        return [other for other in ours if layer(other) > layer(name)]

    assert offenders(upwards) == {}


def test_training_and_export_stand_side_by_side():
    def sideways(name: str) -> list[object]:
        others = [room for room in SIDE_BY_SIDE if not within(name, room)]
        return [o for o in imports(name) if len(others) == 1 and within(o, others[0])]

    assert offenders(sideways) == {}


def test_no_modules_import_each_other_in_a_circle():
    waiting = {name: set(imports(name, inside_functions=False)) & SOURCES.keys() for name in SOURCES}
    while waiting:
        free = {name for name, needs in waiting.items() if not (needs - {name}) & waiting.keys()}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


def test_heavy_packages_are_imported_inside_functions():
    def heavy(name: str) -> list[object]:
        return [other for other in imports(name, inside_functions=False) if package(other) in HEAVY]

    # a peer in a benchmark is a program of its own
    assert offenders(lambda name: [] if name == PIPELINE or package(name) == "benchmarks" else heavy(name)) == {}


def test_hdf5_helper_knows_nothing_of_tensorflow_but_in_pipeline():
    def tensorflow(name: str) -> list[object]:
        return [other for other in imports(name) if package(other) in ("tensorflow", "keras")]

    helpers = {name: tensorflow(name) for name in SOURCES if package(name) == "hdf5_helper" and tensorflow(name)}
    assert helpers.keys() <= {PIPELINE}


def test_nobody_else_imports_the_module_that_needs_tensorflow_at_once():
    def early(name: str) -> list[object]:
        return [other for other in imports(name, inside_functions=False) if other == PIPELINE]

    assert offenders(early) == {}


def test_imports_are_absolute():
    assert offenders(lambda name: [other for other in imports(name) if other.startswith(".")]) == {}


def test_no_file_is_longer_than_250_lines():
    lengths = {name: len(text.splitlines()) for name, text in SOURCES.items()}
    assert {name: length for name, length in lengths.items() if length > 250} == {}


def test_no_function_has_more_than_40_code_lines():
    def long(name: str) -> list[object]:
        code = code_lines(SOURCES[name])
        counts = [(node.name, len((code & lines_of(node)) - docstring_lines(node))) for node in functions(name)]
        return [(function, count) for function, count in counts if count > 40]

    assert offenders(long) == {}


def lines_of(node: ast.stmt) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    return lines_of(node.body[0]) if ast.get_docstring(node) is not None else set()


def code_lines(text: str) -> set[int]:
    """Numbers of the lines on which there is more than blanks and comments."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    spans = [range(token.start[0], token.end[0] + 1) for token in tokens if token.type not in silent]
    return {line for span in spans for line in span}


def test_no_function_takes_more_than_six_positional_arguments():
    def many(name: str) -> list[object]:
        return [node.name for node in functions(name) if positional(node) > 6 and not is_command(node)]

    assert offenders(many) == {}


def positional(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return len(named) - (named[:1] in (["self"], ["cls"]))


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).startswith("click.") for decorator in node.decorator_list)


def test_asserts_are_for_tests():
    def asserts(name: str) -> list[object]:
        return [node.lineno for node in ast.walk(TREES[name]) if isinstance(node, ast.Assert)]

    assert offenders(asserts) == {}


def test_there_is_no_drawer_for_odds_and_ends():
    drawers = {"utils", "util", "helpers", "common", "misc"}
    assert [name for name in SOURCES if drawers & set(name.split("."))] == []


def test_everything_public_says_what_it_gives():
    assert offenders(silent) == {}


def silent(name: str) -> list[object]:
    """Gives the names of the public functions, classes and methods of a module that have no docstring."""
    tree = TREES[name]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
    members = [node for owner in (tree, *classes) for node in owner.body]
    public = [n for n in members if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    without = [node.name for node in public if ast.get_docstring(node) is None and not is_overload(node)]
    return [*without, *([] if ast.get_docstring(tree) else ["the module itself"])]


def is_overload(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_nothing_global_is_set_by_importing():
    def calls(name: str) -> list[object]:
        nodes = statements(TREES[name], inside_functions=False)
        return [ast.unparse(n) for n in nodes if isinstance(n, ast.Call) and "environ" in ast.unparse(n.func)]

    assert offenders(calls) == {}


def test_tests_lie_flat_and_every_one_is_found():
    assert [path for path in (ROOT / "tests").rglob("test_*.py") if path.parent != ROOT / "tests"] == []
    assert len(TESTS) > 8


def test_no_two_tests_of_a_file_have_one_name():
    def repeated(tree: ast.Module) -> list[str]:
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        return sorted({name for name in names if names.count(name) > 1})

    assert {name: repeated(tree) for name, tree in TESTS.items() if repeated(tree)} == {}
