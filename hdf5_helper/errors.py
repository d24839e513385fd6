"""The one exception that is shown to users."""

import difflib
from collections.abc import Iterable


class FacetError(Exception):
    """A mistake that the user can mend.

    The message is one sentence: which file or option, what was found, what was expected.
    The command line prints it alone and exits with 1.
    """


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Gives the end of an error sentence about an unknown name: the nearest choice, and all of them."""
    names = sorted(choices)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return f"expected one of {', '.join(names)}{hint}"
