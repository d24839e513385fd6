"""docs/hdf5-format.md, taken at its word: a second implementation with h5py and xxhash alone."""

import re
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pyfive
import pytest
import xxhash
from h5py import h5a, h5t
from page_blocks import blocks

from hdf5_helper.packing.packer import PackOptions, pack

PAGE = Path(__file__).resolve().parent.parent / "docs" / "hdf5-format.md"
MASK = 2**64 - 1


@pytest.fixture(params=["encoded", "raw", "several sources", "celeba", "no persons"])
def file(request, packed, sample_tree, tmp_path):
    """Files that have, together, every dset and attribute of the page."""
    if request.param == "several sources":
        trees = [sample_tree("adience", 60, mess=True), sample_tree("agegender", 60, image_size=96)]
        pack(trees, tmp_path / "both.h5", PackOptions(max_size=48, limit=100, seed=2**63 - 1, fraction=0.9))
        return tmp_path / "both.h5"
    if request.param == "raw":
        return packed("agegender", count=60, storage="raw", image_size=(240, 200), fit="crop", seed=3)
    if request.param == "encoded":  # of several chunks, as raw is
        return packed("agegender", count=200, side=192)
    return packed("celeba" if request.param == "celeba" else "utkface", count=60)


def type_text(kind: h5t.TypeID) -> str:
    size = kind.get_size()
    order = "|" if size == 1 else "<"
    if kind.get_class() == h5t.INTEGER:
        return f"{order}{'u' if kind.get_sign() == h5t.SGN_NONE else 'i'}{size}"
    if kind.get_class() == h5t.FLOAT:
        return f"<f{size}"
    assert (kind.get_class(), kind.is_variable_str(), kind.get_strpad()) == (h5t.STRING, False, h5t.STR_NULLPAD)
    return f"|S{size}"


def shape_text(shape) -> str:
    return f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"


def part(title: str, content: bytes) -> bytes:
    data = title.encode()
    return len(data).to_bytes(8, "little") + data + len(content).to_bytes(8, "little") + content


def dset_bytes(file, name: str) -> bytes:
    dset = file[name]
    title = f"{name} {type_text(dset.id.get_type())} {shape_text(dset.shape)}"
    return part(title, b"") + dset[...].tobytes()


def attribute_bytes(owner: str, item, name: str) -> bytes:
    attribute = h5a.open(item.id, name.encode())
    kind, shape = attribute.get_type(), attribute.shape
    values = np.empty(shape, np.dtype(f"V{kind.get_size()}"))
    attribute.read(values, mtype=kind)
    content, text = values.tobytes(), type_text(kind)
    if kind.get_class() == h5t.STRING and shape == ():
        content = content.rstrip(b"\0") or b"\0"
        text = f"|S{len(content)}"
    return part(f"{owner}@{name} {text} {shape_text(shape)}", content)


def objects_of(file):
    found = {b"": file}
    file.visititems(lambda name, item: found.update({name.encode(): item}))
    return [(name.decode(), found[name]) for name in sorted(found)]


def digests(file) -> tuple[bytes, bytes]:
    dsets = [name for name, item in objects_of(file) if isinstance(item, h5py.Dataset)]
    covered = ["checksum", *(f"encoded/{name}" for name in ("length", "height", "width", "orientation"))]
    images = b"".join(dset_bytes(file, name) for name in covered if name in dsets)
    if "images" in dsets:
        images += shape_text(file["images"].shape).encode()
    index = b"".join(dset_bytes(file, n) for n in dsets if n not in ("images", "encoded/bytes", "checksum", "seal"))
    index += b"".join(
        attribute_bytes(owner, item, name)
        for owner, item in objects_of(file)
        for name in sorted(item.attrs, key=str.encode)
    )
    return xxhash.xxh3_128_digest(images), xxhash.xxh3_128_digest(index)


def test_the_seal_is_what_the_page_says_byte_by_byte(file):
    with h5py.File(file) as h5:
        seal = h5["seal"][:].tobytes()
        images, index = digests(h5)
        version = b"".join(int(number).to_bytes(2, "little") for number in h5.attrs["version"])
    body = b"FACETSEA" + version + bytes(4) + file.stat().st_size.to_bytes(8, "little") + images + index + bytes(192)
    assert seal == body + xxhash.xxh3_64_intdigest(body).to_bytes(8, "little")


def test_checksums_are_those_of_the_stored_bytes(file):
    with h5py.File(file) as h5:
        if "images" in h5:
            stored = [row.tobytes() for row in h5["images"]]
        else:
            places = zip(h5["encoded/offset"][:].tolist(), h5["encoded/length"][:].tolist(), strict=True)
            content = h5["encoded/bytes"][:].tobytes()
            stored = [content[start : start + length] for start, length in places]
            assert b"".join(stored) == content
        assert [xxhash.xxh3_64_intdigest(data) for data in stored] == h5["checksum"][:].tolist()


def splitmix64(value: int) -> int:
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def test_rows_stand_in_the_order_of_the_page(file):
    with h5py.File(file) as h5:
        seed = splitmix64(int(h5.attrs["seed"]) & MASK)
        hashes = [splitmix64(seed ^ xxhash.xxh3_64_intdigest(path)) for path in h5["path"][:].tolist()]
        keys = list(zip(h5["split"][:].tolist(), h5["fold"][:].tolist(), hashes, strict=True))
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)


def test_every_dset_is_in_the_table_and_has_its_type(file):
    table = dict(re.findall(r"^\| `(/[^|]*)` \| ([^|(]*)", PAGE.read_text(), re.MULTILINE))
    types = {}
    for written, meant in table.items():
        first, *others = [name.strip(" `/") for name in written.split(",")]
        names = [first, *(name if "/" in name else f"{first.rpartition('/')[0]}/{name}" for name in others)]
        kinds = [kind.strip() for kind in meant.split(",")]
        types |= dict(zip(names, kinds if len(kinds) > 1 else kinds * len(names), strict=True))
    with h5py.File(file) as h5:
        found = {name: item for name, item in objects_of(h5) if isinstance(item, h5py.Dataset)}
        for name, dset in found.items():
            room = f"{name.partition('/')[0]}/NAME"
            wanted = types.get(name, types.get(room))
            assert (name, "fixed-length bytes" if dset.dtype.kind == "S" else dset.dtype.name) == (name, wanted)
        always = {"checksum", "fold", "path", "seal", "split", "statistics/channel_mean", "subject", "subject_names"}
        assert always <= found.keys()


def test_every_attribute_is_in_the_tables(file):
    page = PAGE.read_text()
    with h5py.File(file) as h5:
        for name, value in h5.attrs.items():
            assert f"`{name}`" in page
            assert np.asarray(value).dtype.kind == "S" or np.asarray(value).dtype in (np.int64, np.float64)
        owned = {(name, own) for name, item in objects_of(h5)[1:] for own in item.attrs}
    assert {own for _name, own in owned} <= {"class_names", "names"}


def ceil(number, divisor):
    return -(-number // divisor)


def test_chunks_and_places_are_those_of_the_page(file):
    content = file.read_bytes()
    with h5py.File(file) as h5:
        for _name, dset in ((n, item) for n, item in objects_of(h5) if isinstance(item, h5py.Dataset)):
            assert dset.compression is None
            if dset.chunks is None and dset.size:
                place = dset.id.get_offset()
                assert content[place : place + dset.nbytes] == dset[...].tobytes()
                assert dset.nbytes < 4096 or place % 4096 == 0
        if "images" in h5:
            rows, row_bytes = len(h5["images"]), h5["images"][0].nbytes
            assert h5["images"].chunks[0] == ceil(rows, ceil(rows * row_bytes, 4 << 20))
            assert h5["images"].chunks[1:] == h5["images"].shape[1:]
            return
        dset = h5["encoded/bytes"]
        total = len(dset)
        count = ceil(total, max(1 << 20, total // 8192))
        chunk = min(total, ceil(ceil(total, count), 4096) * 4096)
        places = {}
        dset.id.chunk_iter(lambda found: places.update({found.chunk_offset[0] // chunk: found.byte_offset}))
        assert dset.chunks == (chunk,)
        joined = b"".join(content[places[number] : places[number] + chunk] for number in sorted(places))
        assert joined[:total] == dset[:].tobytes()
        assert all(place % 4096 == 0 for place in places.values() if chunk >= 4096)


def test_pyfive_reads_every_dset_and_attribute_as_h5py_does(file):
    with h5py.File(file) as h5, pyfive.File(file) as pure:
        for name, item in objects_of(h5):
            other = pure[name] if name else pure
            for own, value in item.attrs.items():
                assert np.array_equal(np.asarray(value), np.asarray(other.attrs[own]))
            if isinstance(item, h5py.Dataset) and item.size:
                assert np.asarray(other[...]).tobytes() == item[...].tobytes()


def test_what_the_page_shows_of_h5dump_is_what_it_prints(tmp_path, sample_tree):
    if shutil.which("h5dump") is None:
        pytest.skip("h5dump is not installed (package hdf5-tools)")
    [(_kind, _line, commands)] = [block for block in blocks(PAGE.read_text()) if block[0] == "sh"]
    pack([sample_tree("agegender", 60)], tmp_path / "faces.h5")
    printed = [subprocess.run(c.split(), cwd=tmp_path, capture_output=True, check=True).stdout for c in commands]
    with h5py.File(tmp_path / "faces.h5") as h5:
        start, length, gender = (int(h5[name][4]) for name in ("encoded/offset", "encoded/length", "labels/gender"))
        image = h5["encoded/bytes"][start : start + length].tobytes()
    assert [re.findall(rb"^ +(\d+)$", text, re.MULTILINE) for text in (printed[0], printed[2])] == [
        [str(start).encode(), str(length).encode()],
        [str(gender).encode()],
    ]
    assert (tmp_path / "face.jpg").read_bytes() == image
    assert f"prints {start} and {length} here" in PAGE.read_text()
