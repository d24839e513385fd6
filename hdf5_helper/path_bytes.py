"""Paths as text and as the bytes that the file system knows: they need not be UTF-8."""


def path_bytes(text: str) -> bytes:
    """Gives the bytes of a path or name; surrogates stand for bytes that are no UTF-8 (PEP 383)."""
    return text.encode("utf-8", "surrogateescape")


def path_text(data: bytes) -> str:
    """Gives the text of stored bytes, the inverse of `path_bytes`."""
    return data.decode("utf-8", "surrogateescape")
