"""Draws the test accuracy of each epoch over wall time, from the trials that the part `schedule:whole` left.

python -m benchmarks.schedules.picture WORK [--out docs/pictures/schedules.svg]
"""

import argparse
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.schedules import names
from benchmarks.schedules.plan import Plan
from benchmarks.schedules.trials import Trial, read_trial
from benchmarks.schedules.turns import trial_file
from hdf5_helper.atomic import written_whole
from hdf5_helper.errors import FacetError

_OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "schedules.svg"


def curves(work: Path, workload: str) -> dict[str, list[tuple[float, float]]]:
    """Gives (seconds since the start, accuracy in percent) of each epoch by contender, of those that were measured.

    Raises:
        FacetError: nobody was.
    """
    found = {
        who.name: points for who in (names.FACET, names.KERAS, names.TORCH) if (points := _points(work, workload, who))
    }
    if not found:
        raise FacetError(f"{work}: no accuracy over time, expected the work folder of `--only schedule:whole`")
    return found


def _points(work: Path, workload: str, who: Contender) -> list[tuple[float, float]]:
    file = trial_file(work, workload, who, 0)
    trial = read_trial(file) if file.exists() else Trial(0, 0, 0, 0)
    return [(epoch.at, 100 * epoch.accuracy) for epoch in trial.epochs if epoch.accuracy is not None]


def draw(path: Path, found: dict[str, list[tuple[float, float]]], phases: tuple[int, int]) -> None:
    """Draws one line a contender, its warm-up with open marks, into an SVG, the same bytes from the same figures."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    for name, points in found.items():
        (line,) = axes.plot(*zip(*points, strict=True), linewidth=1.5, label=name)
        for part, filled in ((points[: phases[0]], "none"), (points[phases[0] :], "full")):
            axes.plot(
                *(zip(*part, strict=True) if part else ((), ())),
                linestyle="",
                marker="o",
                markersize=4,
                fillstyle=filled,
                color=line.get_color(),
            )
    axes.set(xlabel="seconds since the start of the process", ylabel="gender accuracy on the test images, %")
    axes.set_title(f"{phases[0]} epochs of warm-up (open) and {phases[1]} of fine-tuning, one seed")
    axes.set_xlim(left=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as file, mpl.rc_context({"svg.hashsalt": "facet", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None})


def main() -> None:
    """Draws what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, default=_OUT)
    options = parser.parse_args()
    whole = Plan().whole
    draw(options.out, curves(options.work, whole.name), whole.epochs)


if __name__ == "__main__":
    main()
