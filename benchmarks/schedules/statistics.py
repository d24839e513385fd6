"""What is made of the figures of several rounds: totals of equal epochs, a paired bound, shares of a speed-up."""

from collections.abc import Mapping, Sequence
from math import log, sqrt
from statistics import mean, median, stdev

#: One-sided 95 % points of Student's t by degrees of freedom (Student 1908; NIST/SEMATECH e-Handbook, 1.3.6.7.2).
_T_95 = (6.313752, 2.919986, 2.353363, 2.131847, 2.015048, 1.943180, 1.894579, 1.859548, 1.833113, 1.812461)


def lower_bound(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Gives the one-sided 95 % lower bound of the mean of paired differences, `ours` less `theirs`.

    Pairs are runs of one seed on the same images: mean(d) - t(0.95, n - 1) · s(d) / sqrt(n), Student's paired test.

    Args:
        ours: n ≥ 2 figures, in the order of the seeds; beyond 11 the point of ten degrees of freedom is taken, which is
            on the safe side.
        theirs: as many, of the same seeds.
    """
    differences = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    freedom = min(len(differences) - 1, len(_T_95))
    return mean(differences) - _T_95[freedom - 1] * stdev(differences) / sqrt(len(differences))


def of_equal_epochs(seconds: Sequence[float], epochs: int) -> float:
    """Gives the seconds of `epochs` equal epochs: the median of those that were timed, times their number."""
    return median(seconds) * epochs


def shares(factors: Mapping[str, float], total: float) -> dict[str, float]:
    """Gives how much of a speed-up each cause is, in percent.

    Factors multiply, so their logarithms are compared: a cause alone that makes the whole factor has 100.

    Args:
        factors: by cause, how many times slower it is without it.
        total: how many times slower it is without any, above 1.

    Returns:
        By cause; and `together`, the rest: what causes do only with each other, negative where they overlap.
    """
    parts = {cause: 100 * log(factor) / log(total) for cause, factor in factors.items()}
    return parts | {"together": 100 - sum(parts.values())}
