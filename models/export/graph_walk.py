"""The order in which a graph's operations are written: what is read comes before what reads it."""

from collections.abc import Callable, Iterator, Sequence


def inputs_first(ends: Sequence[str], inputs: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """Walks a graph depth first from its ends; without recursion, since networks are deep.

    Args:
        ends: names of operations.
        inputs: gives the names of the operations that one reads.

    Yields:
        Each operation that the ends need once, after all that it reads.
    """
    done: set[str] = set()
    stack = [(name, False) for name in reversed(ends)]
    while stack:
        name, inputs_done = stack.pop()
        if inputs_done:
            yield name
        elif name not in done:
            done.add(name)
            stack.append((name, True))
            stack += [(source, False) for source in reversed(inputs(name))]
