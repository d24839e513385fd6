"""What is in a sealed HDF5 file, for people to look at."""
