"""Layers with their arrays to one table by name, for formats in which arrays have no names of their own."""

from collections.abc import Iterable, Mapping, Sequence

from hdf5_helper.errors import FacetError
from models.pretrained.named_arrays import LONGEST_NAME, Array, is_name


def by_layer(layers: Iterable[tuple[str, Mapping[str, Array]]]) -> dict[str, Array]:
    """Gives the arrays by `LAYER.ROLE`, in the layers' order; layers without arrays leave nothing.

    Args:
        layers: each layer's name and its arrays by role.

    Raises:
        FacetError: there is no array at all, or a layer that has arrays has no printable name of its own.
    """
    named: dict[str, Array] = {}
    seen: set[str] = set()
    for place, (name, arrays) in enumerate(layers):
        if not arrays:
            continue
        if not is_name(name):
            raise FacetError(
                f"layer {place} has the name {name[:40]!r}, expected 1 to {LONGEST_NAME} printable characters"
            )
        if name in seen:
            raise FacetError(f"two layers with arrays are called {name!r}, expected a name of its own for each")
        seen.add(name)
        named.update({f"{name}.{role}": array for role, array in arrays.items()})
    if not named:
        raise FacetError("no layer has an array, expected a network with its weights")
    return named


def roles(arrays: Sequence[Array], names: Sequence[str] = ("weight", "bias")) -> dict[str, Array]:
    """Gives a layer's arrays by role in their order: the names given, then `blob2`, `blob3` … by place from 0."""
    places = range(len(names), len(arrays))
    return dict(zip([*names, *(f"blob{place}" for place in places)], arrays, strict=False))
