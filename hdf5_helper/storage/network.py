"""Whether a file lies on another machine."""

import os
from pathlib import Path

_NETWORK = ("nfs", "cifs", "smb", "lustre", "ceph", "gpfs", "beegfs", "afs", "9p", "glusterfs", "fuse")


def on_network(path: Path) -> bool:
    """Says whether `path` lies on a network file system, as far as /proc/self/mountinfo tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2] == wanted]
    return any(kind.startswith(_NETWORK) for kind in kinds)
