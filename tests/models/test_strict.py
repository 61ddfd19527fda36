"""Every key of both sides is accounted for, and a conversion may rename tensors and no more."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dit_bench.errors import WeightsError
from dit_bench.models.strict import copy_fit, fit

Weights = dict[str, Tensor]


@pytest.mark.parametrize(
    ("wanted_shape", "convert", "complaint"),
    [
        ((6,), lambda given: {"a": given["a"] * 1}, "1 of another shape or type: a would be changed by"),
        ((3, 2), lambda given: {"a": given["a"].reshape(3, 2)}, "a is (6,), expected (3, 2)"),
        ((3, 2), lambda given: {"a": given["a"][:3, None].expand(3, 2)}, "a is (6,), expected (3, 2)"),
        ((6,), lambda given: {**given, "b": given["a"]}, "1 unexpected: unexpected a"),
        ((6,), lambda given: {}, "1 missing, 1 unexpected: missing a; unexpected a"),
    ],
)
def test_conversions_may_rename_and_no_more(
    wanted_shape: tuple[int, ...], convert: Callable[[Weights], Weights], complaint: str
) -> None:
    found = fit({"a": torch.zeros(wanted_shape)}, {"a": torch.ones(6)}, convert)
    assert complaint in found.complaint()
    assert found.num_problems == len(found.missing) + len(found.unexpected) + len(found.misfits) > 0


@pytest.mark.parametrize(
    ("wanted_shape", "convert"),
    [
        ((4,), lambda given: {"new": given["old"].view(2, 4).mean(0)}),
        ((4,), lambda given: {"new": given["old"][:4]}),
        ((4,), lambda given: {"new": given["old"][1:5]}),
        ((4, 2), lambda given: {"new": given["old"][:4, None].expand(4, 2)}),
    ],
)
def test_a_renamed_tensor_is_the_whole_stored_one(
    wanted_shape: tuple[int, ...], convert: Callable[[Weights], Weights]
) -> None:
    found = fit({"new": torch.zeros(wanted_shape)}, {"old": torch.arange(8.0)}, convert)
    assert f"new cannot be had by renaming alone, expected {wanted_shape}" in found.complaint()
    assert found.unexpected == ["old"]


def test_of_two_tensors_for_one_key_the_lost_one_is_named() -> None:
    found = fit({"a": torch.zeros(1)}, {"a": torch.ones(1), "b": torch.zeros(1)}, lambda given: {"a": given["b"]})
    assert found.complaint() == "1 unexpected: unexpected a"


def test_a_renamed_tensor_may_get_another_layout() -> None:
    weights = {"inner": torch.arange(6.0).reshape(1, 3, 2)}
    wanted = {"outer": torch.zeros(2, 3)}
    found = fit(wanted, weights, lambda given: {"outer": given["inner"].transpose(1, 2).reshape(2, 3)})
    assert found.num_problems == 0
    assert torch.equal(found.tensors["outer"], torch.tensor([[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]))


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn, torch.float4_e2m1fn_x2]
)
def test_other_kinds_of_numbers_are_refused(dtype: torch.dtype) -> None:
    stored = torch.zeros(16, dtype=torch.uint8).view(dtype)
    found = fit({"a": torch.zeros(len(stored))}, {"a": stored})
    assert found.complaint() == f"1 of another shape or type: a is {dtype}, expected torch.float32"


def test_what_does_not_fit_is_not_copied() -> None:
    model = nn.Linear(2, 1)
    nn.init.zeros_(model.weight)
    good = {"weight": torch.ones(1, 2), "bias": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"^no \(1 unexpected: unexpected more\)"):
        copy_fit(model, fit(model.state_dict(), {**good, "more": torch.ones(1)}), "no")
    assert not model.weight.any()
    copy_fit(model, fit(model.state_dict(), good), "no")
    assert model.weight.all()
