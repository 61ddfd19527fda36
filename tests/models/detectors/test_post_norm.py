"""The sub-layers against torch's post-norm transformer layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dit_bench.models.detectors.post_norm import AttentionSublayer, FeedForwardSublayer, xavier_matrices


def _filled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return module.eval()


def _copy(layer: nn.Module, number: int, sublayer: AttentionSublayer) -> None:
    """Into a layer of torch's, whose attentions are `self_attn`, `multihead_attn` and whose norms count from 1."""
    attention = getattr(layer, "self_attn" if number == 1 else "multihead_attn")
    attention.load_state_dict(sublayer.attention.state_dict())
    getattr(layer, f"norm{number}").load_state_dict(sublayer.norm.state_dict())


def _copy_feed_forward(layer: nn.Module, number: int, sublayer: FeedForwardSublayer) -> None:
    for name, index in (("linear1", 0), ("linear2", 3)):
        getattr(layer, name).load_state_dict(sublayer.layers[index].state_dict())
    getattr(layer, f"norm{number}").load_state_dict(sublayer.norm.state_dict())


def test_are_torchs_decoder_layer() -> None:
    """Which is an encoder layer with one sub-layer more: self-attention, cross-attention, feed-forward."""
    torch.manual_seed(0)
    among, across, alone = AttentionSublayer(16, 2), AttentionSublayer(16, 2), FeedForwardSublayer(16, 40)
    layer = nn.TransformerDecoderLayer(16, 2, 40, batch_first=True).eval()
    for number, sublayer in enumerate((among, across), start=1):
        _filled(sublayer)
        _copy(layer, number, sublayer)
    _filled(alone)
    _copy_feed_forward(layer, 3, alone)
    tokens, memory = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, 6:] = False
    ours = alone(across(among(tokens), memory=memory, key_mask=mask))
    torch.testing.assert_close(ours, layer(tokens, memory, memory_key_padding_mask=~mask), atol=1e-5, rtol=0)


def test_positions_join_queries_and_keys_but_not_values() -> None:
    torch.manual_seed(0)
    sublayer = AttentionSublayer(16, 2)
    _filled(sublayer)
    tokens, memory = torch.randn(2, 5, 16), torch.randn(2, 9, 16)
    of_tokens, of_memory = torch.randn(2, 5, 16), torch.randn(2, 9, 16)

    def expected(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        theirs = nn.MultiheadAttention(16, 2, batch_first=True).eval()
        theirs.load_state_dict(sublayer.attention.state_dict())
        return sublayer.norm(tokens + theirs(queries, keys, values)[0])

    placed = tokens + of_tokens
    torch.testing.assert_close(sublayer(tokens, of_tokens), expected(placed, placed, tokens), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        sublayer(tokens, of_tokens, memory, of_memory), expected(placed, memory + of_memory, memory), atol=1e-5, rtol=0
    )


def test_matrices_are_xavier_and_vectors_stay() -> None:
    """Xavier's bound is sqrt(6 / (in + out)), its standard deviation that over sqrt(3)."""
    torch.manual_seed(0)
    sublayer = FeedForwardSublayer(64, 256)
    for parameter in sublayer.parameters():
        nn.init.constant_(parameter, 7.0)
    xavier_matrices(sublayer)
    bound = (6 / (64 + 256)) ** 0.5
    for name, parameter in sublayer.named_parameters():
        if parameter.dim() == 1:
            assert bool((parameter == 7).all()), name
        else:
            assert parameter.abs().max() <= bound
            assert abs(float(parameter.detach().std()) / (bound / 3**0.5) - 1) < 0.05
