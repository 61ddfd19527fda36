"""Files of weights: what is read, and that nothing in them is ever executed."""

import os
import pickle
import tarfile
from argparse import Namespace
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from dit_bench.errors import WeightsError
from dit_bench.models.weights import head_classes, read_weights

TENSORS = {"head.weight": torch.arange(6.0).reshape(3, 2), "norm.bias": torch.ones(2, dtype=torch.float16)}


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for key, tensor in expected.items():
        assert got[key].dtype == tensor.dtype
        assert torch.equal(got[key], tensor)
        assert type(got[key]) is Tensor


@pytest.fixture(params=["zip", "old-style"])
def save(request: pytest.FixtureRequest) -> Callable[..., None]:
    """torch.save in both of its formats."""

    def write(content: Any, path: Path, **options: Any) -> None:
        torch.save(content, path, _use_new_zipfile_serialization=request.param == "zip", **options)

    return write


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_safetensors(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors")
    assert_same(read_weights(tmp_path / "w.safetensors"), TENSORS)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.pth.tar", "W.PTH"])
def test_pytorch_checkpoints(tmp_path: Path, save: Callable[..., None], name: str) -> None:
    save(TENSORS, tmp_path / name)
    assert_same(read_weights(tmp_path / name), TENSORS)


@pytest.mark.parametrize("nested", ["model", "state_dict", "model_ema", "state_dict_ema"])
def test_nested_weights_beside_the_state_of_a_training(tmp_path: Path, save: Callable[..., None], nested: str) -> None:
    parameters = {key: torch.nn.Parameter(value) for key, value in TENSORS.items()}
    optimiser = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    arguments = Namespace(lr=5e-4, output=None, inner=Namespace(sizes=[1, 2]))
    save({"epoch": 3, "optimizer": optimiser, "args": arguments, nested: parameters}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), TENSORS)


def test_plain_weights_are_preferred_to_their_average(tmp_path: Path, save: Callable[..., None]) -> None:
    average = {key: value + 1 for key, value in TENSORS.items()}
    save({"model_ema": average, "state_dict_ema": average, "model": TENSORS}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), TENSORS)
    save({"model": "a name", "state_dict_ema": average, "state_dict": TENSORS}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), TENSORS)


def test_the_prefix_of_parallel_training_is_taken_off(tmp_path: Path, save: Callable[..., None]) -> None:
    wrapped = {f"module.{key}": value for key, value in TENSORS.items()}
    save({"state_dict": wrapped}, tmp_path / "w.pth")
    save_file(wrapped, tmp_path / "w.safetensors")
    assert_same(read_weights(tmp_path / "w.pth"), TENSORS)
    assert_same(read_weights(tmp_path / "w.safetensors"), TENSORS)
    save({**wrapped, "own": torch.ones(1)}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == {*wrapped, "own"}


def test_code_in_a_checkpoint_is_named_and_not_executed(tmp_path: Path, save: Callable[..., None]) -> None:
    path, marker = tmp_path / "w.pth", tmp_path / "executed"
    save({"model": TENSORS, "args": Payload(marker)}, path)
    torch.load(path, weights_only=False)
    assert marker.is_dir(), "the payload must be a working one"
    marker.rmdir()
    with pytest.raises(WeightsError, match=r"w\.pth names code: (posix|nt)\.mkdir; it is not opened") as refusal:
        read_weights(path)
    assert "safetensors" in str(refusal.value.remedy)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("bare", [True, False])
def test_no_pickle_protocol_executes_code(tmp_path: Path, save: Callable[..., None], protocol: int, bare: bool) -> None:
    path, marker = tmp_path / "w.bin", tmp_path / "executed"
    if bare:
        path.write_bytes(pickle.dumps(Payload(marker), protocol=protocol))
    else:
        save({"model": Payload(marker)}, path, pickle_protocol=protocol)
    with pytest.raises(WeightsError, match=r"w\.bin"):
        read_weights(path)
    assert not marker.exists()


def test_code_in_old_tar_checkpoints_is_not_executed(tmp_path: Path) -> None:
    path, marker = tmp_path / "w.tar", tmp_path / "executed"
    data = pickle.dumps(Payload(marker), protocol=2)
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, BytesIO(data))
    with pytest.raises(WeightsError, match=r"w\.tar is not a readable PyTorch checkpoint"):
        read_weights(path)
    assert not marker.exists()


def test_other_classes_are_refused_by_name(tmp_path: Path, save: Callable[..., None]) -> None:
    save(torch.nn.Linear(2, 3), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"names code: torch\.nn\.modules\.linear\.Linear;"):
        read_weights(tmp_path / "w.pth")
    save({"model": TENSORS, "accuracy": np.float64(0.7)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"names code: numpy\.\w+\.multiarray\.scalar"):
        read_weights(tmp_path / "w.pth")


def test_what_a_file_calls_itself_cannot_garble_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"cev\x1b[31mil\nsys\x07tem\n(S'x'\ntR.")
    with pytest.raises(WeightsError) as refusal:
        read_weights(tmp_path / "w.pth")
    assert str(refusal.value).isprintable()
    assert "sys?tem" in str(refusal.value)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.bin", "w.tar", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", bytes(range(256)) * 8, b"\x80\x02}q\x00h\x07."])
def test_garbage(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{name} is not a readable"):
        read_weights(tmp_path / name)


def test_every_truncation_is_refused(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "w.pth"
    save(TENSORS, path)
    content = path.read_bytes()
    for length in range(0, len(content), 23):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match=r"w\.pth"):
            read_weights(path)


def test_truncated_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_weights(path)


@pytest.mark.parametrize("name", ["w.ckpt", "w", "w.npz", "w.pkl"])
def test_other_kinds_of_files(tmp_path: Path, name: str) -> None:
    torch.save(TENSORS, tmp_path / name)
    with pytest.raises(WeightsError, match="weights are not read from") as refusal:
        read_weights(tmp_path / name)
    assert ".safetensors" in str(refusal.value.remedy)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"w\.pth: no such file"):
        read_weights(tmp_path / "w.pth")
    (tmp_path / "w.pth").mkdir()
    with pytest.raises(WeightsError, match=r"w\.pth: a folder"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({**TENSORS, "epoch": 3}, r"holds 'epoch' \(int\)"),
        ({**TENSORS, "epoch": 3, "lr": 0.1}, r"holds 'epoch' \(int\) and 1 more"),
        ({"model": {**TENSORS, "name": "x"}}, r"under 'model', holds 'name' \(str\)"),
        ({"weights": TENSORS}, r"holds 'weights' \(dict\)"),
        ({"model": {}}, "under 'model', holds nothing"),
        ({}, "holds nothing"),
        ([TENSORS], "holds a list, not a dict"),
        (torch.ones(2), "holds a Tensor, not a dict"),
        ({0: torch.ones(2)}, r"holds 0 \(a key that is int, not text\)"),
        ({"a": torch.ones(2, device="meta")}, "tensor on meta"),
        ({"a": torch.eye(2).to_sparse()}, "sparse_coo tensor"),
    ],
)
def test_contents_that_are_no_weights(tmp_path: Path, save: Callable[..., None], content: Any, complaint: str) -> None:
    save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=complaint):
        read_weights(tmp_path / "w.pth")


def test_attributes_of_a_foreign_tensor_do_no_harm(tmp_path: Path, save: Callable[..., None]) -> None:
    """The restricted reader restores a tensor's own attributes, which may hide its methods."""
    tensor: Any = torch.ones(2)
    tensor.detach = tensor.dim = tensor.data_ptr = 5
    save({"a": tensor}, tmp_path / "w.pth")
    assert_same(read_weights(tmp_path / "w.pth"), {"a": torch.ones(2)})


@pytest.mark.parametrize(
    "name",
    ["pvt_v2_b0", "resnet10t", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050"],
)
@pytest.mark.parametrize("num_classes", [10, 1000])
def test_number_of_classes(name: str, num_classes: int) -> None:
    with torch.device("meta"):
        weights = timm.create_model(name, num_classes=num_classes).state_dict()
        headless = timm.create_model(name, num_classes=0).state_dict()
    assert head_classes(weights) == num_classes
    assert head_classes({key: value for key, value in weights.items() if "weight" not in key}) == num_classes
    assert head_classes(headless) is None
