import os
import pty
import subprocess
import sys

from conftest import ROOT

WORK = """
from scripts.console import Console
with Console(as_json={as_json}) as console:
    console.start("working", 3)
    for number in range(3):
        console.advance(1, f"note {{number}}")
        console.say(f"sentence {{number}} of [three] in /a/b")
    console.stop()
    if {as_json}:
        console.result({{"a": 1}})
"""


def run_on_terminal(code):
    """Runs Python with stderr on a terminal and stdout in a pipe; gives both."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=slave,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
        text=True,
    )
    os.close(slave)
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:  # Linux ends a terminal whose other side is closed with EIO
        pass
    os.close(master)
    return process.communicate()[0], shown.decode()


def test_sentences_reach_a_pipe_while_a_bar_runs_on_the_terminal():
    out, shown = run_on_terminal(WORK.format(as_json=False))
    assert out == "".join(f"sentence {number} of [three] in /a/b\n" for number in range(3))
    assert "working" in shown


def test_with_json_stdout_holds_one_value_and_nothing_else():
    out, shown = run_on_terminal(WORK.format(as_json=True))
    assert out == '{\n  "a": 1\n}\n'
    assert "sentence 2 of [three] in /a/b" in shown


def test_without_a_terminal_sentences_are_plain_lines():
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(as_json=False)],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
    )
    assert (done.stdout.count("\n"), done.stderr) == (3, "")


def test_a_path_that_is_no_utf8_is_escaped_and_never_a_traceback(tmp_path):
    name = os.fsdecode(b"caf\xe9.h5")
    done = subprocess.run(
        [sys.executable, "-m", "scripts", "inspect", name],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"},
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"facet: caf\\udce9.h5: no such file, expected one made by `facet pack`\n"
