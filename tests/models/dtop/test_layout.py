"""Padding and unpadding of ragged sequences."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_bench.models.dtop import layout as layout_module
from dit_bench.models.dtop.layout import RaggedLayout

CPU = torch.device("cpu")


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_padding_puts_every_token_into_its_image(counts: list[int]) -> None:
    layout = RaggedLayout(counts, CPU)
    tokens = torch.arange(1, sum(counts) + 1).float()[:, None].expand(-1, 3)
    padded = layout.pad(tokens)
    assert padded.shape == (len(counts), max(1, *counts), 3)
    start = 1
    for image, count in enumerate(counts):
        assert padded[image, :count, 1].tolist() == list(range(start, start + count))
        assert (padded[image, count:] == (padded[image, count - 1] if count else 0)).all()
        assert layout.present[image].tolist() == [slot < max(1, count) for slot in range(padded.shape[1])]
        start += count
    assert torch.equal(layout.unpad(padded), tokens)
    assert layout.images.tolist() == [image for image, count in enumerate(counts) for _ in range(count)]
    assert [end - first for first, end in layout.spans()] == counts


def test_even_sequences_are_not_copied() -> None:
    layout = RaggedLayout([4, 4], CPU)
    tokens = torch.randn(8, 3)
    assert layout.pad(tokens).data_ptr() == tokens.data_ptr()
    assert layout.unpad(layout.pad(tokens)).data_ptr() == tokens.data_ptr()
    assert not RaggedLayout([0, 0], CPU).is_even, "there is nothing to run a dense block on"


def test_gradients_go_through_padding() -> None:
    layout = RaggedLayout([2, 0, 3], CPU)
    tokens = torch.randn(5, 2, requires_grad=True)
    layout.unpad(layout.pad(tokens) * torch.arange(9.0).view(3, 3, 1)).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad[:, 0].tolist() == [0, 1, 6, 7, 8]


def test_a_loop_pays_when_padding_costs_more_than_calls(monkeypatch) -> None:
    monkeypatch.setattr(layout_module, "LOOP_MACS_PER_IMAGE", 100)
    monkeypatch.setattr(layout_module, "COPY_MACS", 5)
    layout = RaggedLayout([2, 3], CPU)
    assert layout.loop_pays(201, 0)
    assert not layout.loop_pays(200, 0)
    assert layout.loop_pays(0, 41)
    assert not layout.loop_pays(100, 20)
    assert not RaggedLayout([2, 3], torch.device("meta")).loop_pays(10**9, 10**9)
