"""One image: its bytes to pixels, its facts, its orientation, its size."""
