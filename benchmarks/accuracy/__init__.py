"""How accurate trainings on real faces are, over several seeds, beside plain Keras on the same schedule."""
