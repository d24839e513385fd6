"""The HDF5 file itself: names, places, digests, and how it is opened."""
