from pathlib import Path

import pytest

from dit_bench.data.segmentation.lists import read_list, read_split
from dit_bench.errors import DataError


def test_names_are_sorted_and_empty_lines_are_none(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"2010_000009\r\n\r\n2008_000008 \n2008_000015")
    assert read_list(path) == ("2008_000008", "2008_000015", "2010_000009")


def test_both_lists_are_known(tmp_path):
    train, val = tmp_path / "train.txt", tmp_path / "val.txt"
    train.write_text("b\na\n")
    assert read_split(train, val).listed == {"a", "b"}
    val.write_text("c\n")
    found = read_split(train, val)
    assert (found.names, found.listed) == (("a", "b"), {"a", "b", "c"})
    val.write_text("c\nb\n")
    with pytest.raises(DataError, match=r"lists .*train\.txt and .*val\.txt share 1 pictures \(first: b\)"):
        read_split(train, val)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read list .*: No such file"),
        (b"", "names no picture"),
        (b"\n \n", "names no picture"),
        (b"a\nb\na\n", "has a in the lines 1 and 3"),
        (b"a\nb -1\n", r"line 2: 'b -1' is no name"),
        (b"JPEGImages/a\n", r"line 1: 'JPEGImages/a' is no name"),
        (b"\xff\xfe\x00a", "is no text"),
    ],
)
def test_unsound_lists_are_named(tmp_path, content, message):
    path: Path = tmp_path / "train.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
