"""Augmentation: training images turned, moved, recoloured and mixed, as pure functions of seed, epoch and example."""
