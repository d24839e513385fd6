"""The layouts in which a sample tree can be drawn, one file each."""

from hdf5_helper.errors import FacetError, did_you_mean
from hdf5_helper.sample.layouts import adience, afad, agegender, celeba, folders, manifest, utkface
from hdf5_helper.sample.planting import Planting

#: Layout name -> how its trees are made.
LAYOUTS: dict[str, Planting] = {
    "afad": afad.LAYOUT,
    "agegender": agegender.LAYOUT,
    "adience": adience.LAYOUT,
    "celeba": celeba.LAYOUT,
    "utkface": utkface.LAYOUT,
    "folders": folders.LAYOUT,
    "manifest": manifest.LAYOUT,
}


def find_layout(name: str) -> Planting:
    """Gives the layout `name`; an unknown name raises FacetError with the nearest one."""
    if name not in LAYOUTS:
        raise FacetError(f"--layout {name!r}: {did_you_mean(name, LAYOUTS)}")
    return LAYOUTS[name]
