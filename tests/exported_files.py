"""Graphs and files run by runtimes, for tests of what they compute."""

import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from small_models import values_of

from models.export.runtimes import RUNTIMES

BY_KEY = {runtime.key: runtime for runtime in RUNTIMES}


@contextmanager
def opened(frozen, key):
    """Opens a frozen graph in a runtime; gives a function from what is fed to values by output name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(frozen.data)
        with BY_KEY[key].open(path, frozen.signature) as graph:
            yield lambda images: graph.run(images).values


def assert_same_values(frozen, model, description, pictures, keys=("tensorflow", "opencv"), counts=(1, 4, 2)):
    """Compares a graph with Keras in runtimes, on the first pictures of several counts."""
    expected = values_of(model, description, pictures)
    inputs = frozen.signature.input.prepare(pictures)
    for key in keys:
        with opened(frozen, key) as run:
            for count in counts:
                found = run(inputs[:count])
                assert {name: values.shape[0] for name, values in found.items()} == dict.fromkeys(expected, count)
                for label, values in found.items():
                    np.testing.assert_allclose(values, expected[label][:count], rtol=1e-4, atol=1e-4, err_msg=key)
