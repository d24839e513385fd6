"""Training: phases, trainer, checkpoints, runs, evaluation."""
