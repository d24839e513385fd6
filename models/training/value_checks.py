"""Refusals of impossible values, in one sentence that names the setting."""

from hdf5_helper.errors import FacetError, did_you_mean


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuses a value that is none of `choices`."""
    if value not in choices:
        raise FacetError(f"{name} {value!r}: {did_you_mean(value, choices)}")


def check_number(
    name: str, value: float, *, above: float | None = None, least: float | None = None, below: float | None = None
) -> None:
    """Refuses a number that is not finite, or on the wrong side of a limit; a limit of None does not count."""
    wanted = {"above": above, "of at least": least, "below": below}
    inside = (above is None or value > above) and (least is None or value >= least)
    inside = inside and (below is None or value < below)
    if not (inside and abs(value) < float("inf")):
        limits = " and ".join(f"{word} {limit:g}" for word, limit in wanted.items() if limit is not None)
        raise FacetError(f"{name} {value}: expected a {'finite ' if inside else ''}number {limits}")
