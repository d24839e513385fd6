"""What a comparison of runtimes looks like on a terminal."""

from collections.abc import Sequence

from models.export.parity import IMAGES, RuntimeParity


def parity_table(results: Sequence[RuntimeParity]) -> list[str]:
    """Gives the lines of a table: runtime, difference, time for one image and for 64; or why it did not run."""
    lines = [f"{'runtime':<20} {'difference':>10} {'1 image':>10} {f'{IMAGES} images':>10}"]
    for result in results:
        if result.difference is None:
            verb = "cannot run it" if result.checked else "not checked"
            lines.append(f"{result.runtime:<20} {verb}: {result.reason}")
        else:
            times = (_milliseconds(result.seconds_one), _milliseconds(result.seconds_many))
            lines.append(f"{result.runtime:<20} {result.difference:>10.1e} {times[0]:>10} {times[1]:>10}")
    return lines


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"
