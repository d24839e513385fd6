"""Asks TensorFlow about itself in a process of its own, so that its log lines stay there."""

import json
import subprocess
import sys
from typing import Any

_QUESTION = """
import json
import tensorflow as tf
gpus = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")]
print(json.dumps({"error": None, "cuda_build": tf.test.is_built_with_cuda(), "gpus": gpus, "version": tf.__version__}))
"""


def ask_tensorflow(timeout: float = 120) -> dict[str, Any]:
    """Gives `error` (one line or None), `cuda_build` (bool), `gpus` (names) and `version`; takes some five seconds."""
    # -P: a json.py in the user's folder must not be imported; -I would hide packages installed for this user alone
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _QUESTION], capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return _failed(f"no answer within {timeout:g} s")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return _failed(lines[-1] if lines else f"exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _failed(reason: str) -> dict[str, Any]:
    return {"error": reason, "cuda_build": False, "gpus": [], "version": None}
