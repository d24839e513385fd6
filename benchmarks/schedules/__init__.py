"""Whole schedules of warm-up and fine-tuning: Facet's real command beside plain Keras and PyTorch."""
