"""The backbones: pretrained convolutional bodies, what they want to see, and where they can be cut."""
