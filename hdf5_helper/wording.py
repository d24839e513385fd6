"""Numbers as users read them."""

from collections.abc import Mapping


def bytes_text(count: int) -> str:
    """Gives `33.4 MB`, `1.2 GB`, `812 bytes`."""
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}" if size < 100 else f"{size:.0f} {unit}"
    return f"{size / 1000:,.3g} TB"


def count_text(count: int, singular: str, plural: str | None = None) -> str:
    """Gives `1 image`, `4,000 images`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Gives `2,880 train, 320 validation, 800 test`."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
