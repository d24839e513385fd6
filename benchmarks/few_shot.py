"""Gender from few examples: logistic regression on features of weights that know faces, and that know ImageNet.

python -m benchmarks.few_shot --data DATA --weights WEIGHTS --work WORK --out benchmarks/figures/few_shot.json

The experiment is that of Donahue et al., "DeCAF" (ICML 2014), figure 4: accuracy by training examples a class.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from hdf5_helper.atomic import write_text, written_whole
from hdf5_helper.hashing import hash_integers
from hdf5_helper.storage.file_format import SPLIT_NAMES

#: Of MobileNet, by what they have seen.
WEIGHTS = {
    "faces": "mobilenet_1.0_224_faces_notop.weights.h5",
    "ImageNet": "mobilenet_1.0_224_imagenet_notop.weights.h5",
}
TREE, IMAGE_SIZE, LABEL = "agegender_cleaned", 128, "gender"

#: Training examples a class, and how often each number is drawn.
COUNTS, DRAWS = (1, 3, 10, 30, 100), 10

#: Inverse strengths of the L2 penalty to choose from, by the validation split.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """Examples with two classes: features float32 (n, d) and labels int64 (n,) of 0 and 1."""

    features: Floats
    labels: Integers

    def at(self, rows: Integers) -> "Side":
        """Gives some of them."""
        return Side(self.features[rows], self.labels[rows])


def drawn(labels: Integers, count: int, draw: int) -> Integers:
    """Gives the rows of `count` examples of each class; those of a smaller count are among those of a larger one.

    Args:
        labels: int64 (n,).
        count: at most the number of examples of the smallest class.
        draw: another one, other examples.
    """
    order = np.argsort(hash_integers(draw, np.arange(len(labels))), kind="stable")
    return np.sort(np.concatenate([order[labels[order] == value][:count] for value in np.unique(labels)]))


def accuracies(
    pool: Side, measured: Side, strength: float, counts: Sequence[int], draws: int
) -> dict[int, list[float]]:
    """Gives the share of `measured` that logistic regression gets right, by examples a class and draw.

    Args:
        pool: what training examples are drawn from.
        measured: what to measure on.
        strength: inverse strength of the L2 penalty (scikit-learn's C).
        counts: examples a class.
        draws: how many sets of examples of each count.
    """
    from sklearn.linear_model import LogisticRegression

    found: dict[int, list[float]] = {count: [] for count in counts}
    for count in counts:
        for draw in range(draws):
            few = pool.at(drawn(pool.labels, count, draw))
            model = LogisticRegression(C=strength, max_iter=2000).fit(few.features, few.labels)
            found[count].append(round(float(model.score(measured.features, measured.labels)), 6))
    return found


def chosen_strength(pool: Side, validation: Side, counts: Sequence[int], draws: int) -> float:
    """Gives the one of STRENGTHS whose mean accuracy over all counts and draws is highest on the validation split."""

    def accuracy(strength: float) -> float:
        by_count = accuracies(pool, validation, strength, counts, draws)
        return mean(value for values in by_count.values() for value in values)

    return max(STRENGTHS, key=accuracy)


def sides(file: Path) -> tuple[Side, Side, Side]:
    """Gives (pool, validation, test) of a file of `facet features`, standardized.

    The pool is the train split but for the persons of the test split. Mean and deviation of each feature are those of
    the pool's images, which takes no label.
    """
    with h5py.File(file) as stored:
        features, labels = stored["features"][()], stored[f"labels/{LABEL}"][()].astype(np.int64)
        split, subject = stored["split"][()], stored["subject"][()]
    known = labels <= 1
    train, validation, test = (known & (split == number) for number in range(len(SPLIT_NAMES)))
    pool = train & ~np.isin(subject, subject[test])
    centre, spread = features[pool].mean(axis=0), features[pool].std(axis=0)
    scaled = (features - centre) / np.where(spread > 0, spread, 1.0)
    pool_side, *others = (Side(scaled[rows], labels[rows]) for rows in (pool, validation, test))
    return pool_side, others[0], others[1]


def measure(files: Mapping[str, Path]) -> dict[str, Any]:
    """Gives everything that the figure shows, by the name of the weights.

    Args:
        files: of `facet features`, by the name of the weights.
    """
    curves: dict[str, Any] = {}
    for name, file in files.items():
        pool, validation, test = sides(file)
        strength = chosen_strength(pool, validation, COUNTS, DRAWS)
        curves[name] = {"C": strength, "accuracy": accuracies(pool, test, strength, COUNTS, DRAWS)}
    sizes = {"pool": len(pool.labels), "test": len(test.labels), "majority": round(_majority(test), 6)}
    told = {"tree": TREE, "label": LABEL, "image_size": IMAGE_SIZE, "draws": DRAWS, **sizes}
    return told | {"curves": curves}


def _majority(side: Side) -> float:
    share = float(side.labels.mean())
    return max(share, 1 - share)


def plot(found: Mapping[str, Any], out: Path) -> None:
    """Draws mean and standard deviation over the draws; the suffix of `out` says in what format."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "facet", "svg.fonttype": "none"})  # the same bytes again, text as text
    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, curve in found["curves"].items():
        counts = [int(count) for count in curve["accuracy"]]
        values = list(curve["accuracy"].values())
        middle, spread = [mean(one) for one in values], [stdev(one) for one in values]
        axes.errorbar(counts, middle, spread, marker="o", capsize=3, label=f"MobileNet, {name}")
    axes.axhline(found["majority"], color="grey", linestyle=":", label="always the larger class")
    axes.set(xscale="log", xlabel="training examples a class", ylabel="gender accuracy, test", ylim=(0.4, 1.0))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with written_whole(out) as part:
        figure.savefig(part, metadata={"Date": None} if out.suffix == ".svg" else {})
    plt.close(figure)


def table(found: Mapping[str, Any]) -> str:
    """Gives the figures as Markdown."""
    counts = [str(count) for count in COUNTS]
    lines = [f"| examples a class | {' | '.join(counts)} |", f"|---|{'---|' * len(counts)}"]
    for name, curve in found["curves"].items():
        by_count = {str(count): values for count, values in curve["accuracy"].items()}
        cells = [f"{mean(by_count[count]):.3f} ± {stdev(by_count[count]):.3f}" for count in counts]
        lines.append(f"| MobileNet, {name} (C = {curve['C']:g}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _features(data: Path, weights: Path, work: Path) -> dict[str, Path]:
    """Packs the tree and computes the features; what is there is not made again."""
    packed = work / f"{TREE}.h5"
    if not packed.exists():
        _facet("pack", data / TREE, packed)
    files = {}
    for name, file in WEIGHTS.items():
        files[name] = work / f"features-{name}.h5"
        if not files[name].exists():
            told = ("--weights", weights / file, "--image-size", IMAGE_SIZE)
            _facet("features", "mobilenet", packed, files[name], *told)
    return files


def _facet(*arguments: object) -> None:
    command = [sys.executable, "-m", "scripts", *map(str, arguments)]
    subprocess.run(command, cwd=Path(__file__).resolve().parents[1], check=True)


def main() -> None:
    """Runs what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "weights", "work", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--plot", type=Path, default=Path("docs/pictures/few_shot.svg"))
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    found = measure(_features(options.data.resolve(), options.weights.resolve(), work))
    write_text(options.out, json.dumps(found, indent=1) + "\n")
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    plot(found, options.plot)
    print(table(found))  # noqa: T201 - a program of its own


if __name__ == "__main__":
    main()
