"""The marker segments of a JPEG file (ITU-T T.81, annex B): where they lie, and whether the picture is whole."""

import re
from collections.abc import Iterator

START_OF_SCAN = 0xDA
APP1 = 0xE1
END_OF_IMAGE = b"\xff\xd9"
# start of frame of the processes that send each coefficient once: baseline and extended sequential, Huffman coded
_SEQUENTIAL = (0xC0, 0xC1)
_METADATA = (0xFE, *(0xE0 + number for number in range(16) if number != 14))
# markers that stand alone, without a length: TEM, restarts, start of image
_ALONE = (0x01, *range(0xD0, 0xD9))
# within a scan: neither a byte 0xFF of its data, which a zero follows, nor a restart or a fill byte
_MARKER_BEHIND_SCAN = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")

Bytes = bytes | memoryview


def segments(data: Bytes) -> Iterator[tuple[int, int, int]]:
    """Gives (marker, start, stop) of each segment's content, up to the first start of scan; nothing after damage."""
    at, size = 2, len(data)
    while at + 4 <= size and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            stop = at + 2 + (data[at + 2] << 8 | data[at + 3])
            yield marker, at + 4, stop
            if marker == START_OF_SCAN:
                return
            at = stop


def has_end(data: Bytes) -> bool:
    """Says whether the picture's own end marker is there, whatever follows it."""
    whole = bytes(data)
    at = next((stop for marker, _start, stop in segments(whole) if marker == START_OF_SCAN), len(whole))
    while found := _MARKER_BEHIND_SCAN.search(whole, at):
        at = found.end()
        if found[0] == END_OF_IMAGE:
            return True
        if found[1][0] in _ALONE:  # another picture begins
            return False
        at += int.from_bytes(whole[at : at + 2], "big")  # a segment between two scans
    return False


def ended(data: Bytes) -> bytes | None:
    """Gives a JPEG that lacks its end marker with one, where strict decoding can then tell whether it is whole.

    That is so where all components come in one sequential scan: a cut leaves too few bits for the last of them, which
    decoders notice. A progressive file that is cut between two scans looks whole, only blurred.

    Returns:
        The bytes with the marker, or None where it is there already or where nothing could be told.
    """
    whole = bytes(data)
    if whole.endswith(END_OF_IMAGE):
        return None
    frame = scan = components = 0
    for marker, start, stop in segments(whole):
        if marker in _SEQUENTIAL and stop - start > 5:
            frame, components = frame + 1, whole[start + 5]
        elif marker == START_OF_SCAN and stop <= len(whole):
            scan = whole[start]
    single = frame == 1 and scan == components > 0 and whole.count(b"\xff\xda", stop) == 0 if scan else False
    return whole + END_OF_IMAGE if single else None


def without_metadata(data: Bytes) -> bytes:
    """Gives a JPEG without comments and application segments, but for Adobe's, which says what its colours mean."""
    whole = bytes(data)
    kept = [
        whole[start - 4 : stop]
        for marker, start, stop in segments(whole)
        if marker not in _METADATA and marker != START_OF_SCAN
    ]
    scan = next((start for marker, start, _stop in segments(whole) if marker == START_OF_SCAN), len(whole) + 4)
    return b"".join((whole[:2], *kept, whole[scan - 4 :]))
