"""Training on many devices and machines: which workers, on which devices, and a watch over one another."""
