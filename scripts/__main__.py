"""`python -m scripts` is `facet`."""

from scripts.cli import main

main()
