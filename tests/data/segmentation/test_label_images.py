import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dit_bench.data.segmentation.label_images import read_header, read_label_image
from dit_bench.errors import DataError

VALUES = (np.arange(70, dtype=np.uint8).reshape(7, 10) * 3) % 151


def write_png(path, rows, width, *, bits, kind):
    """A PNG put together by hand: `rows` are the packed bytes of each row."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b""))


def test_values_come_back_as_they_are(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(VALUES).save(path)
    header = read_header(path)
    assert (header.height, header.width, header.bits, header.kind) == (7, 10, 8, "grey")
    values = read_label_image(path)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, VALUES)


@pytest.mark.parametrize("colours", [256, 9])
def test_in_a_palette_the_place_counts(tmp_path, colours):
    """As Pascal VOC has it; few colours are packed into four bits per pixel."""
    path, values = tmp_path / "a.png", np.uint8(VALUES.astype(int) % colours)
    image = Image.fromarray(values)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * colours).astype(np.uint8).tolist())
    image.save(path)
    assert read_header(path).kind == "palette"
    assert read_header(path).bits == (4 if colours == 9 else 8)
    np.testing.assert_array_equal(read_label_image(path), values)


def test_grey_of_few_bits_is_refused_since_pillow_stretches_it(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, [bytes([0x01, 0x23]), bytes([0x10, 0x00])], 4, bits=4, kind=0)
    assert np.array(Image.open(path)).max() == 3 * 17
    with pytest.raises(DataError, match=r"a\.png has 4 bits per pixel instead of 8"):
        read_label_image(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Image.new("RGB", (10, 7)), r"holds colours \(RGB\), not numbers"),
        (lambda: Image.new("RGBA", (10, 7)), r"holds colours \(RGB with transparency\)"),
        (lambda: Image.new("LA", (10, 7)), r"holds colours \(grey with transparency\)"),
        (lambda: Image.fromarray(VALUES.astype(np.uint16) * 9), "has 16 bits per pixel instead of 8"),
        (lambda: Image.new("1", (10, 7)), "has 1 bits per pixel instead of 8"),
    ],
)
def test_what_holds_no_class_numbers_is_refused(tmp_path, make, message):
    path = tmp_path / "a.png"
    make().save(path)
    with pytest.raises(DataError, match=rf"label image .*a\.png {message}.*one byte per pixel"):
        read_label_image(path)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(DataError, match=r"cannot read label image .*a\.png: No such file"):
        read_label_image(path)
    Image.new("RGB", (10, 7)).save(path, format="JPEG")
    with pytest.raises(DataError, match=r"a\.png is no PNG, whatever its name says"):
        read_label_image(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 150, (60, 60)).astype(np.uint8)).save(path)
    whole = path.read_bytes()
    for length, message in ((0, "cut short, it has 0 bytes"), (20, "cut short"), (900, "cannot read label image")):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=message) as caught:
            read_label_image(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
