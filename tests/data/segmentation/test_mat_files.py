import numpy as np
import pytest
from scipy.io import savemat, whosmat
from scipy.sparse import csc_array

from dit_bench.data.segmentation.mat_files import map_size, read_ids, read_shapes
from dit_bench.data.segmentation.mat_headers import announced_shapes
from dit_bench.errors import DataError

IDS = np.random.default_rng(0).integers(0, 460, (40, 61))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.float64])
def test_ids_come_back_as_they_are(tmp_path, kind, compressed):
    path, ids = tmp_path / "a.mat", (IDS % 256).astype(kind)
    names = np.array(["one", "two", "three"], dtype=object)
    savemat(path, {"S": ids, "names": names, "captions": names}, do_compression=compressed)
    shapes = read_shapes(path)
    assert set(shapes) == {"S", "names", "captions"}
    assert map_size(path, "S", shapes) == (40, 61)
    assert np.prod(shapes["names"]) == 3
    found = read_ids(path, "S")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, ids)


@pytest.mark.parametrize("compressed", [False, True])
def test_headers_are_read_as_scipy_reads_them(tmp_path, compressed):
    path = tmp_path / "a.mat"
    names = np.array([f"class {k}" for k in range(182)], dtype=object)
    content = {"S": IDS.astype(float), "Four": IDS[:, :1], "LabelMap": IDS.astype(np.uint16), "names": names[:, None]}
    content |= {"a" * 31: IDS[:9], "deep": np.zeros((2, 3, 4)), "nothing": np.zeros((0, 0)), "one": 1.5}
    content |= {"record": {"field": IDS, "text": "x"}, "sparse": csc_array(IDS.astype(float))}
    savemat(path, content, do_compression=compressed)
    expected = {name: tuple(shape) for name, shape, _ in whosmat(path)}
    assert set(expected) == set(content)
    assert announced_shapes(path) == expected
    assert read_shapes(path) == expected


def test_other_versions_are_left_to_scipy(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"S": IDS}, format="4")
    assert announced_shapes(path) is None
    assert read_shapes(path) == {"S": (40, 61)}
    np.testing.assert_array_equal(read_ids(path, "S"), IDS)


@pytest.mark.parametrize("compressed", [False, True])
def test_truncation_is_seen_without_unpacking(tmp_path, compressed):
    path = tmp_path / "a.mat"
    savemat(path, {"S": IDS, "captions": "a cat"}, do_compression=compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    with pytest.raises(
        DataError, match=rf"a\.mat is cut short: it has {len(whole) - 9} of at least {len(whole)} bytes"
    ):
        read_shapes(path)


def test_a_map_of_one_row_stays_a_map(tmp_path):
    savemat(tmp_path / "a.mat", {"S": IDS[:1]})
    assert read_ids(tmp_path / "a.mat", "S").shape == (1, 61)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"T": IDS}, r"has no variable 'S', it has T"),
        ({"S": IDS[None]}, r"is an array of shape \(1, 40, 61\), not height x width"),
        ({"S": np.zeros((0, 5))}, "not height x width"),
        ({"S": IDS + 0.5}, r"no ids \(below 0, or not whole\)"),
        ({"S": IDS - 500}, r"no ids \(below 0, or not whole\)"),
        ({"S": np.where(IDS < 400, IDS, np.nan)}, r"no ids \(below 0, or not whole\)"),
        ({"S": IDS * 1j}, "holds no whole numbers"),
        ({"S": csc_array(IDS.astype(float))}, "holds no whole numbers"),
        ({"S": "text"}, "holds no whole numbers"),
    ],
)
def test_what_is_no_label_map_is_refused(tmp_path, content, message):
    path = tmp_path / "a.mat"
    savemat(path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_ids(path, "S")
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.5, 0.99])
def test_truncated_files_are_named(tmp_path, compressed, share):
    path = tmp_path / "a.mat"
    savemat(path, {"S": IDS}, do_compression=compressed)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match="label map") as caught:
        read_ids(path, "S")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_named(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(DataError, match=r"cannot read label map .*a\.mat: No such file"):
        read_shapes(path)
    path.write_bytes(b"\x89PNG no matrix at all, but some text" * 9)
    with pytest.raises(DataError, match=r"cannot read label map .*a\.mat"):
        read_shapes(path)
    # the header of a file of version 7.3, as MATLAB writes it before the HDF5 part
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))
    with pytest.raises(DataError, match=r"a\.mat is a \.mat file of version 7\.3"):
        read_ids(path, "S")
