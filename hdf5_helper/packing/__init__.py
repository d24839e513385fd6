"""From a tree of images to one sealed HDF5 file."""
