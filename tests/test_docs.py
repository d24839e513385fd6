import re
from pathlib import Path

import pytest
from page_blocks import (
    RUN_KINDS,
    Code,
    Command,
    Runner,
    blocks,
    commands,
    difference,
    is_installed,
    needed,
    steps,
)

from scripts.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
RUNNABLE = [page for page in PAGES if steps(page.read_text())]


NEEDS = [(page, package) for page in PAGES for package in needed(page.read_text())]


def run_page(page, folder, having=()):
    runner = Runner(page, folder)
    try:
        for step in steps(page.read_text(), having):
            problem = runner.run(step)
            if problem:
                pytest.fail(problem, pytrace=False)
    finally:
        runner.close()


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows(page, tmp_path):
    run_page(page, tmp_path)


@pytest.mark.parametrize(("page", "package"), NEEDS, ids=lambda value: value if isinstance(value, str) else value.stem)
def test_a_block_that_needs_another_package_is_run_where_that_is_installed(page, package, tmp_path):
    if not is_installed(package):
        pytest.skip(f"{package} is not installed, and a block of {page.name} needs it")
    run_page(page, tmp_path, having=[package])


def test_the_readme_is_run():
    assert ROOT / "README.md" in RUNNABLE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described(command):
    text = "\n".join(page.read_text() for page in PAGES)
    assert re.search(rf"\bfacet {command}\b", text), f"no page shows `facet {command}`"


def test_every_block_says_what_it_is():
    nameless = [(page.name, line) for page in PAGES for info, line, _lines in blocks(page.read_text()) if not info]
    assert nameless == []


def test_shell_sessions_are_run_and_not_only_shown():
    sessions = [
        (page.name, line)
        for page in PAGES
        for info, line, lines in blocks(page.read_text())
        if info not in RUN_KINDS and any(text.startswith("$ ") for text in lines)
    ]
    assert sessions == []


def test_links_between_pages_lead_somewhere():
    pages = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "history/README.md"))]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())]
    inside = [(page, link) for page, link in links if "://" not in link and not link.startswith("mailto:")]
    assert [(page.name, link) for page, link in inside if not (page.parent / link).exists()] == []


def test_no_page_shows_a_picture_file_of_the_repository():
    pictures = [path for kind in ("jpg", "jpeg", "png", "webp") for path in (ROOT / "docs").rglob(f"*.{kind}")]
    assert [path for path in pictures if "sample" not in path.stem] == []


# ---- the runner itself


def test_blocks_are_read_with_their_kind_and_line():
    page = "text\n```console\n$ one\n```\n- item\n  ```python\n  if a:\n      b\n  ```\n"
    assert blocks(page) == [("console", 3, ["$ one"]), ("python", 7, ["if a:", "    b"])]
    assert steps(page) == [Command("one", 3), Code("if a:\n    b", 7)]


def test_a_block_that_needs_a_package_is_a_step_only_for_those_who_have_it():
    page = "```python\na\n```\n```python needs torch\nb\n```\n```python no-run\nc\n```\n"
    assert needed(page) == ["torch"]
    assert steps(page) == [Code("a", 2)]
    assert steps(page, ["torch"]) == [Code("a", 2), Code("b", 5)]


def test_commands_carry_output_continuation_and_exit_code():
    lines = ["$ one \\", ">   --two", "shown", "", "more …", "$ three  # exits 1"]
    assert commands(lines, 10) == [Command("one --two", 10, 0, ("shown", "", "more …")), Command("three", 15, 1)]


def test_a_block_without_a_command_is_refused():
    with pytest.raises(ValueError, match=r"line 3: a console block must begin with a `\$ ` line, found 'facet'"):
        commands(["facet"], 3)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a", "b"], ["a", "b"]),
        (["a …"], ["a and more"]),
        (["loss 0.4… accuracy 0.9…"], ["loss 0.4321 accuracy 0.95"]),
        (["a", "…", "c"], ["a", "b", "b", "c"]),
        (["a", "…"], ["a", "b"]),
        (["…", "c"], ["c"]),
        (["12 images in 3.2 s, 410 images/s"], ["12 images in 14 s, 1,310 images/s"]),
        (["80.3 GB free"], ["7 GB free"]),
        (["a", "", "b"], ["a", "b", ""]),
    ],
)
def test_shown_lines_match(shown, printed):
    assert difference(tuple(shown), printed) is None


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (["a"], ["b"]),
        (["a", "b"], ["a"]),
        (["a"], ["a", "b"]),
        (["a", "c"], ["a", "b", "c"]),
        (["loss 0.4…"], ["loss 0.5"]),
        (["12 images in 3 s"], ["13 images in 3 s"]),
        (["a", "…", "c"], ["a", "b"]),
        (["33.4 MB"], ["33.5 MB"]),
        (["a.c"], ["abc"]),
    ],
)
def test_shown_lines_that_are_not_printed_are_told(shown, printed):
    assert difference(tuple(shown), printed) is not None


def test_a_page_runs_in_order_in_one_folder(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ echo 1 > file; ls\nfile\n```\n"
        "```python\nnumber = int(open('file').read())\n```\n"
        "```python\nopen('file', 'w').write(str(number + 1))\n```\n"
        "```console\n$ cat file\n2\n$ exit 3  # exits 3\n```\n"
    )
    (tmp_path / "work").mkdir()
    runner = Runner(page, tmp_path / "work")
    assert [runner.run(step) for step in steps(page.read_text())] == [None] * 5
    runner.close()


def test_what_fails_on_a_page_is_told_with_its_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo yes\nno\n$ false\n```\n```python\n1 / 0\n```\n")
    runner = Runner(page, tmp_path)
    first, second, third = (runner.run(step) for step in steps(page.read_text()))
    runner.close()
    assert first.startswith("page.md, line 2: $ echo yes\nthe page shows\n    no\nwhere there is\n    yes\n")
    assert second.startswith("page.md, line 4: $ false\nexited 1, expected 0")
    assert third.startswith("page.md, line 7: Traceback")
    assert 'File "page.md", line 7' in third
