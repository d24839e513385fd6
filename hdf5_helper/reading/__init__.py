"""From a sealed HDF5 file to batches."""
