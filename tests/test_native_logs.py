"""Logs of other packages: nothing of them on the terminal, unless asked for."""

import subprocess
import sys

import pytest

# TensorFlow's Python logger, as it warns of functions that are traced again and again
PROGRAM = """
import logging, sys
from scripts.native_logs import quiet_native_logs
quiet_native_logs(verbose=sys.argv[1] == "verbose")
logging.getLogger("tensorflow").warning("6 out of the last 11 calls")
"""


@pytest.mark.parametrize(("how", "said"), [("quiet", ""), ("verbose", "6 out of the last 11 calls\n")])
def test_tensorflow_s_own_log_lines_are_for_the_verbose(how, said):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    assert done.stderr == said
