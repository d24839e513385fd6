"""Who had the processors meanwhile: figures taken beside other work are worth less, and say so (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")

# fields of /proc/PID/stat behind the name in brackets, from proc(5): session, and own and children's times
_SESSION, _TIMES = 3, slice(11, 15)
# of /proc/stat: user, nice, system, irq, softirq and steal; idle, iowait and what is counted twice left out
_BUSY = (1, 2, 3, 6, 7, 8)


@dataclass(frozen=True)
class Usage:
    """Processor seconds since the machine started: of all, and of one session."""

    everybody: float
    session: float

    def elsewhere(self, earlier: "Usage") -> float:
        """Gives the seconds since `earlier` that others took, the kernel's own threads among them."""
        return max(0.0, (self.everybody - earlier.everybody) - (self.session - earlier.session))


def usage(session: int) -> Usage:
    """Gives the processor time so far; a session is named by the process that began it."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    everybody = sum(int(fields[place]) for place in _BUSY) / _TICKS
    return Usage(everybody, sum(_seconds(int(entry.name), session) for entry in _processes()))


def _processes() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _seconds(process: int, session: int) -> float:
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended meanwhile
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[_TIMES])) / _TICKS if int(fields[_SESSION]) == session else 0.0
