"""The child's side: loads a written file in one runtime and answers with its values, until its parent is gone.

Started as `python serve.py RUN_….py`. It imports numpy alone, so that the Python of any virtual environment can run it.

A message is one line of JSON with the shapes of the arrays that follow it, then their bytes in C order. The first one
is the request {"path", "format", "input", "outputs", …}; the answer is {}. Each later one brings images; the answer is
{"seconds"} and the outputs' values. An answer {"refused": reason} may come instead of either.
"""

import json
import os
import queue
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]
Message = tuple[dict[str, Any], Arrays]

#: Takes images (B, H, W, 3) as the graph's input wants them; gives the values of each output, the batch first.
Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]


def send(stream: IO[bytes], message: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> None:
    """Writes a message.

    Raises:
        OSError: nobody reads it any more.
    """
    shapes = [[array.dtype.str, array.shape] for array in arrays]
    stream.write(json.dumps({**message, "arrays": shapes}).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> Message:
    """Reads a message.

    Raises:
        EOFError: the other side has ended.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    arrays = [_array(stream, np.dtype(dtype), shape) for dtype, shape in message.pop("arrays")]
    return message, arrays


def _array(stream: IO[bytes], dtype: np.dtype[Any], shape: Sequence[int]) -> NDArray[Any]:
    size = dtype.itemsize * int(np.prod(shape))
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return np.frombuffer(data, dtype).reshape(shape)


def main() -> None:
    """Answers what comes in on stdin; ends with its parent, whatever it is doing then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which then ends this process
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a runtime prints must not get between the answers
    asked: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_read_all, args=(sys.stdin.buffer, asked), daemon=True).start()
    open_graph = runpy.run_path(sys.argv[1])["open_graph"]
    run: Run | None = None
    while True:
        request, images = asked.get()
        try:
            if run is None:
                run = open_graph(request)
                answer: Message = {}, []
            else:
                answer = _timed(run, images[0])
        except Exception as error:  # noqa: BLE001 - whatever a runtime raises is its reason
            answer = {"refused": _reason(error)}, []
        send(answers, *answer)


def _read_all(stream: IO[bytes], asked: "queue.SimpleQueue[Message]") -> None:
    """Reads while the runtime computes: so the parent's end, which is the end of the pipe, ends this process too."""
    try:
        while True:
            asked.put(receive(stream))
    finally:
        os._exit(0)


def _reason(error: Exception) -> str:
    """Gives what an error says; OpenCV's own words are in `err`, each line behind a `> `."""
    text = getattr(error, "err", "") or str(error) or repr(error)
    return " ".join(line.removeprefix("> ") for line in text.splitlines())


def _timed(run: Run, images: NDArray[Any]) -> Message:
    """Gives the time of one run, and float32 (B, width) for each output; a graph may give (B,) or (B, 1, 1) too."""
    began = time.perf_counter()
    values = run(images)
    seconds = time.perf_counter() - began
    return {"seconds": seconds}, [np.asarray(value, np.float32).reshape(len(value), -1) for value in values]


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:  # noqa: BLE001 - Python cannot end by itself while a thread waits for stdin
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - for the parent's sentence
        os._exit(1)
