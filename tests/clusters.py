"""Dask clusters on this machine for tests: real schedulers and workers, each a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self, folder: Path):
        self._folder, self.workers = folder, []
        file = folder / "scheduler.json"
        options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", file]
        self.scheduler = self._started("from distributed.cli.dask_scheduler import main; main()", *options)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]

    @property
    def executor(self) -> str:
        return f"dask://{self.address.removeprefix('tcp://')}"

    def add_worker(self, before: str = "pass", around: str = "") -> None:
        """Starts a worker; `before` is Python that it runs first, `around` a shell script around it."""
        options = [self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", self._folder]
        code = f"{before}; from distributed.cli.dask_worker import main; main()"
        count = len(self.workers) + 1
        self.workers.append(self._started(code, *options, around=around))
        wait_until(lambda: self._count() == count or self.workers[-1].poll() is not None)

    def _count(self) -> int:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.nthreads())

    def _started(self, code: str, *options: object, around: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", code, *map(str, options)]
        if around:
            command = ["unshare", "-rm", "sh", "-c", f'{around} && exec "$0" "$@"', *command]
        with open(self._folder / "log", "ab") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise TimeoutError
