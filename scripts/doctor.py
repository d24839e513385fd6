"""`facet doctor`: say what this machine offers."""

import os
from pathlib import Path
from typing import Any

import click

from scripts.console import Console


@click.command()
@click.option("--fetch", type=click.Choice(["tensorflow-1.15"]), help="Fetch a program that exports are checked in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")
def command(*, fetch: str | None, as_json: bool) -> None:
    """Say what this machine offers: versions, processor, GPUs or why there is none, memory, disk, what runs exports.

    \b
    Example:
      facet doctor
      facet doctor --fetch tensorflow-1.15
    """
    from hdf5_helper.machine import disk, machine, why_no_gpu
    from scripts.tensorflow_probe import ask_tensorflow

    with Console(as_json=as_json) as console:
        if fetch:
            _fetch(console)
            return
        values = machine()
        values["tensorflow"] = ask_tensorflow()
        values["why_no_gpu"] = why_no_gpu(values["nvidia"], values["tensorflow"])
        values["runtimes"] = _runtimes()
        values["disk"] = [disk(Path()), disk(Path(os.environ.get("FACET_HISTORY", "history")))]
        if as_json:
            console.result(values)
            return
        for line in _lines(values):
            console.say(line)
        console.say("next: facet sample faces --layout agegender")


def _fetch(console: Console) -> None:
    """Fetches TensorFlow 1.15's C library, with a line before and a line at the end."""
    from hdf5_helper.machine import disk
    from hdf5_helper.wording import bytes_text
    from models.export import tensorflow_1

    place = tensorflow_1.folder()
    if tensorflow_1.installed() is None:
        download, unpacked, free = map(
            bytes_text, (tensorflow_1.DOWNLOAD_BYTES, tensorflow_1.UNPACKED_BYTES, disk(place)["free"])
        )
        console.say(f"fetching TensorFlow {tensorflow_1.VERSION}: {download}, {unpacked} unpacked ({free} free)")
    tensorflow_1.install()
    if console.as_json:
        console.result({"folder": str(place), "version": tensorflow_1.VERSION})
    else:
        console.say(f"TensorFlow {tensorflow_1.VERSION} lies in {place}; exports are checked in it from now on")


def _runtimes() -> dict[str, Any]:
    """Gives what runs exported files here, by the name that --verify-with takes."""
    from models.export.runtimes import RUNTIMES

    return {
        runtime.key: {
            "name": runtime.name,
            "title": runtime.title,
            "version": runtime.version(),
            "formats": list(runtime.formats),
            "how_to_get": runtime.how_to_get,
        }
        for runtime in RUNTIMES
    }


def _runtime(runtime: dict[str, Any]) -> str:
    if runtime["version"] is None:
        return f"{runtime['name']} is not there: {runtime['how_to_get']}"
    return f"{runtime['title']} reads {', '.join(runtime['formats'])}"


def _lines(values: dict[str, Any]) -> list[str]:
    """Gives the whole answer in words."""
    from hdf5_helper.wording import bytes_text

    cpu, memory = values["cpu"], values["memory"]
    places = [f"{bytes_text(disk['free'])} of {bytes_text(disk['total'])} free" for disk in values["disk"]]
    total, available = (bytes_text(memory[name]) if memory[name] else "unknown" for name in ("total", "available"))
    return [
        f"{'python':<12}{values['python']} on {values['system']}",
        *(f"{name:<12}{version or 'not installed'}" for name, version in values["versions"].items()),
        f"{'processor':<12}{cpu['model']}, {cpu['usable_cores']} of {cpu['cores']} cores usable",
        f"{'':<12}{_features(cpu['features'])}",
        f"{'GPU':<12}{_gpu(values)}",
        *(
            f"{'' if number else 'exports run':<12}{_runtime(runtime)}"
            for number, runtime in enumerate(values["runtimes"].values())
        ),
        f"{'memory':<12}{total}, {available} available",
        f"{'disk here':<12}{places[0]}",
        f"{'history':<12}{places[1]} for {values['disk'][1]['folder']}",
    ]


def _features(features: dict[str, bool | None]) -> str:
    if None in features.values():
        return "the system does not say which instruction sets it has"
    has, lacks = ([name for name, there in features.items() if there is wanted] for wanted in (True, False))
    return "; ".join(f"{verb} {', '.join(names)}" for verb, names in (("has", has), ("lacks", lacks)) if names)


def _gpu(values: dict[str, Any]) -> str:
    driver = values["nvidia"]["driver"]
    if values["why_no_gpu"]:
        return f"none used: {values['why_no_gpu']}"
    return f"{', '.join(values['tensorflow']['gpus'])} (driver {driver or 'unknown'})"
