"""Whether a file lies on another machine."""

import os
from pathlib import Path

_NETWORK = ("nfs", "cifs", "smb", "lustre", "ceph", "gpfs", "beegfs", "afs", "9p", "glusterfs", "fuse")
_MOUNTS = Path("/proc/self/mountinfo")


def on_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Says whether `path` lies on a network file system.

    Args:
        path: a file that is there.
        mounts: what is mounted, as Linux lists it (proc_pid_mountinfo(5)): device in the third field, kind of file
            system in the first field behind a lone hyphen. Where it cannot be read, nothing is on a network.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [line.partition(" - ")[2] for line in lines if line.split(" ")[2:3] == [wanted]]
    return any(kind.startswith(_NETWORK) for kind in kinds)
