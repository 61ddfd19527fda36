"""Multi-head attention against torch's own class, and that every counter sees its products."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.cost.census import take_census
from dit_bench.models.detectors.attention import MultiheadAttention


def _pair(dropout: float = 0.0) -> tuple[MultiheadAttention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    ours, theirs = MultiheadAttention(24, 3, dropout=dropout), nn.MultiheadAttention(24, 3, dropout, batch_first=True)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def _tokens() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(2, 5, 24), torch.randn(2, 7, 24), torch.randn(2, 7, 24)


def test_is_torchs_attention_with_its_weights() -> None:
    ours, theirs = _pair()
    tokens = _tokens()
    torch.testing.assert_close(ours(*tokens), theirs(*tokens)[0], atol=1e-5, rtol=0)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 4:] = False
    expected = theirs(*tokens, key_padding_mask=~mask)[0]
    torch.testing.assert_close(ours(*tokens, mask), expected, atol=1e-5, rtol=0)
    assert (ours(*tokens) - expected)[1].abs().max() > 1e-2


def test_drops_in_training_only() -> None:
    ours, _ = _pair(dropout=0.5)
    tokens = _tokens()
    assert not torch.equal(ours(*tokens), ours(*tokens))
    ours.eval()
    assert torch.equal(ours(*tokens), ours(*tokens))


def test_every_product_is_dispatched_in_eval_mode() -> None:
    """The projections (n + n + 2 m) C² and both products 2 n m C, on the CPU as on the meta device."""
    for device in ("cpu", "meta"):
        ours = MultiheadAttention(24, 3).to(device).eval()
        queries, keys = torch.zeros(2, 5, 24, device=device), torch.zeros(2, 7, 24, device=device)
        census = take_census(ours, queries, keys, keys)
        assert census.macs == census.dispatched_macs == 2 * ((5 + 5 + 7 + 7) * 24**2 + 2 * 5 * 7 * 24)
        assert census.terms["attention"] == 2 * 2 * 5 * 7 * 24
