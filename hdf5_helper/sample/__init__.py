"""Drawn faces of people who do not exist, in every layout that Facet reads."""

from hdf5_helper.sample.layouts import LAYOUTS
from hdf5_helper.sample.write import SampleOptions, SampleReport, write_sample

__all__ = ["LAYOUTS", "SampleOptions", "SampleReport", "write_sample"]
