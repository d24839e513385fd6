"""What a machine offers, asked without TensorFlow: versions, processor, memory, disk, NVIDIA devices."""

import os
import platform
import re
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from hdf5_helper.cores import available_cores

Values = dict[str, Any]

#: Packages whose versions matter for a result; TensorFlow goes by one of two names.
PACKAGES = ("facet", "tensorflow", "keras", "h5py", "numpy", "opencv", "simplejpeg", "pillow", "xxhash", "click")

_OTHER_NAMES = {"tensorflow": ("tensorflow-cpu",), "opencv": ("opencv-python-headless", "opencv-python")}

#: The GPU under Windows' Linux, whose driver lies outside.
_WSL_DEVICE = "/dev/dxg"

#: Instruction sets that change speed or last digits -> the kernel's flags for them (Linux).
_FEATURES = {
    "AVX2": ("avx2",),
    "AVX-512": ("avx512f",),
    "BF16": ("avx512_bf16", "bf16"),
    "AMX": ("amx_tile",),
}


def machine() -> Values:
    """Gives everything below: `python`, `system`, `versions`, `cpu`, `memory`, `nvidia`, as values for JSON."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions(),
        "cpu": cpu(),
        "memory": memory(),
        "nvidia": nvidia(),
    }


def versions() -> dict[str, str | None]:
    """Gives the version of each of PACKAGES, and of the HDF5 library; None where one is not installed."""
    found = {name: _version(name) for name in PACKAGES}
    return {**found, "hdf5": _hdf5_version()}


def _version(name: str) -> str | None:
    for candidate in (name, *_OTHER_NAMES.get(name, ())):
        try:
            return metadata.version(candidate)
        except metadata.PackageNotFoundError:
            continue
    return None


def _hdf5_version() -> str | None:
    try:
        import h5py
    except ImportError:
        return None
    return str(h5py.version.hdf5_version)


def cpu(cpuinfo: str | None = None) -> Values:
    """Gives `model`, `cores`, `usable_cores` and `features` (name -> bool, None where the system does not say).

    Args:
        cpuinfo: the text of Linux's /proc/cpuinfo; None reads it where there is one.
    """
    text = _text(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    present = set(flags[1].split()) if flags else None
    return {
        "model": model[1].strip() if model else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": available_cores(),
        "features": {name: None if present is None else bool(present & set(of)) for name, of in _FEATURES.items()},
    }


def memory(meminfo: str | None = None) -> Values:
    """Gives `total` and `available` memory in bytes, None where the system does not say.

    Args:
        meminfo: the text of Linux's /proc/meminfo; None reads it where there is one.
    """
    text = _text(Path("/proc/meminfo")) if meminfo is None else meminfo
    kibibytes = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    total, available = kibibytes.get("MemTotal"), kibibytes.get("MemAvailable")
    if total is None and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    return {
        "total": None if total is None else total * 1024,
        "available": None if available is None else available * 1024,
    }


def disk(folder: Path) -> Values:
    """Gives `folder`, and the `free` and `total` bytes of the file system on which it lies or will lie."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    return {"folder": str(folder.absolute()), "free": usage.free, "total": usage.total}


def nvidia() -> Values:
    """Gives `devices` (their files), `driver` (version of the kernel's, or None), `visible` (CUDA_VISIBLE_DEVICES)."""
    files = sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))
    wsl = [_WSL_DEVICE] if Path(_WSL_DEVICE).exists() else []
    driver = re.search(r"Kernel Module[^\n]*?\s(\d+\.[\d.]+)", _text(Path("/proc/driver/nvidia/version")))
    return {
        "devices": files or wsl,
        "driver": driver[1] if driver else None,
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def why_no_gpu(nvidia: Values, tensorflow: Values) -> str | None:
    """Gives one sentence about why TensorFlow uses no GPU, or None where it uses one.

    Args:
        nvidia: as `nvidia()` gives it.
        tensorflow: `error` (text or None), `cuda_build` (bool) and `gpus` (list of names), as a child process found.
    """
    if tensorflow.get("error"):
        return f"TensorFlow cannot be imported: {tensorflow['error']}"
    if tensorflow["gpus"]:
        return None
    there = f", although there is a device ({nvidia['devices'][0]})" if nvidia["devices"] else ""
    if not tensorflow["cuda_build"]:
        return f"this TensorFlow is the CPU build{there}; the other one is in requirements-gpu.txt"
    return _why_cuda_finds_none(nvidia)


def _why_cuda_finds_none(nvidia: Values) -> str:
    if not nvidia["devices"]:
        return "this TensorFlow could use one, but the system shows no NVIDIA device"
    if nvidia["visible"] in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={nvidia['visible']!r} hides every device"
    if nvidia["driver"] is None and nvidia["devices"] != [_WSL_DEVICE]:
        return f"there is a device ({nvidia['devices'][0]}), but no NVIDIA driver is loaded"
    return f"there are device and driver, but TensorFlow could not load its CUDA libraries (in {sys.prefix})"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
