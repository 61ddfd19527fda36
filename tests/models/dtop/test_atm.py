"""Attention to mask against torch's own decoder layer and its attention weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dit_bench.models.dtop import layout as layout_module
from dit_bench.models.dtop.atm import AtmDecoder, AtmLayer, initialise_linear_layers
from dit_bench.models.dtop.layout import RaggedLayout

WIDTH, CLASSES = 24, 5


def _layer(heads: int) -> AtmLayer:
    torch.manual_seed(0)
    layer = AtmLayer(WIDTH, heads)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer.eval()


def _torchs(layer: AtmLayer, heads: int) -> nn.TransformerDecoderLayer:
    """torch's post-norm decoder layer with the same weights."""
    theirs = nn.TransformerDecoderLayer(WIDTH, heads, 4 * WIDTH, batch_first=True).eval()
    ours, cross = layer.state_dict(), layer.mask_attention
    renamed = {"self_attn": "self_attention.attention", "norm1": "self_attention.norm", "norm2": "norm"}
    renamed |= {"linear1": "feed_forward.layers.0", "linear2": "feed_forward.layers.3", "norm3": "feed_forward.norm"}
    weights = {
        f"{new}{key.removeprefix(old)}": value
        for new, old in renamed.items()
        for key, value in ours.items()
        if key.startswith(f"{old}.")
    }
    for part in ("weight", "bias"):
        weights[f"multihead_attn.in_proj_{part}"] = torch.cat([getattr(m, part) for m in (cross.q, cross.k, cross.v)])
        weights[f"multihead_attn.out_proj.{part}"] = getattr(cross.proj, part)
    theirs.load_state_dict(weights)
    return theirs


@pytest.mark.parametrize("with_masks", [True, False])
@torch.no_grad()
def test_layer_is_torchs_post_norm_decoder_layer(with_masks: bool) -> None:
    layer = _layer(3)
    classes, tokens = torch.randn(2, CLASSES, WIDTH), torch.randn(2, 7, WIDTH)
    layout = RaggedLayout([7, 7], tokens.device)
    found, masks = layer(classes, tokens.flatten(0, 1), layout, with_masks)
    torch.testing.assert_close(found, _torchs(layer, 3)(classes, tokens), atol=1e-4, rtol=1e-4)
    assert (masks is not None) == with_masks


@torch.no_grad()
def test_masks_are_the_logits_of_torchs_attention_weights() -> None:
    """With one head the softmax of a class's masks over the image is the weight that torch's attention returns."""
    layer = _layer(1)
    classes, tokens = torch.randn(2, CLASSES, WIDTH), torch.randn(2, 7, WIDTH)
    _, masks = layer.mask_attention(classes, tokens.flatten(0, 1), RaggedLayout([7, 7], tokens.device), True)
    _, weights = _torchs(layer, 1).multihead_attn(classes, tokens, tokens)
    assert masks is not None
    torch.testing.assert_close(masks.view(2, 7, CLASSES).transpose(1, 2).softmax(-1), weights, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_masks_are_the_mean_over_heads_before_the_softmax() -> None:
    attention = _layer(3).mask_attention
    classes, tokens = torch.randn(1, CLASSES, WIDTH), torch.randn(7, WIDTH)
    _, masks = attention(classes, tokens, RaggedLayout([7], tokens.device), True)
    queries, keys = attention.q(classes[0]), attention.k(tokens)
    # The mean over heads of scaled products of 8 entries is a third of the whole product over sqrt(8).
    torch.testing.assert_close(masks, (keys @ queries.T) / 3 / 8**0.5, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("loop_from_macs", [-1, 10**12], ids=["loop", "padded"])
@pytest.mark.parametrize("counts", [[5, 9, 1], [0, 7], [3], [0, 0], [4, 4]], ids=str)
def test_images_keep_to_themselves(monkeypatch, counts: list[int], loop_from_macs: int) -> None:
    """Outputs and gradients of a decoder on ragged images are those of torch's layers on each image."""
    monkeypatch.setattr(layout_module, "LOOP_MACS_PER_IMAGE", loop_from_macs)
    torch.manual_seed(0)
    decoder = AtmDecoder(WIDTH, 3, 2).eval()
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    classes, tokens = torch.randn(len(counts), CLASSES, WIDTH), torch.randn(sum(counts), WIDTH)

    def run(parts: list[tuple[Tensor, Tensor]]) -> list[Any]:
        decoder.zero_grad()
        results = [
            decoder(c, t, RaggedLayout(lengths, t.device)) for (c, t), lengths in zip(parts, splits, strict=True)
        ]
        out, masks = (torch.cat([result[k] for result in results]) for k in (0, 1))
        ((out * torch.linspace(-1, 1, WIDTH)).sum() + masks.sin().sum()).backward()
        return [out.detach(), masks.detach(), *(p.grad for p in decoder.parameters())]

    splits = [counts]
    together = run([(classes, tokens)])
    assert all(part is None or part.isfinite().all() for part in together)
    splits = [[count] for count in counts]
    alone = run(list(zip(classes.split(1), tokens.split(counts), strict=True)))
    for ours, theirs in zip(together, alone, strict=True):
        if ours is None or theirs is None:
            assert ours is None or not ours.any()
            assert theirs is None or not theirs.any()
        else:
            torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


@torch.no_grad()
def test_attending_to_nothing_gives_zeros() -> None:
    attention = _layer(3).mask_attention
    classes = torch.randn(2, CLASSES, WIDTH)
    for counts in ([0, 4], [0, 0]):
        layout = RaggedLayout(counts, classes.device)
        mixed, masks = attention(classes, torch.randn(sum(counts), WIDTH), layout, True)
        assert masks is not None
        assert masks.shape == (sum(counts), CLASSES)
        torch.testing.assert_close(mixed[0], attention.proj.bias.expand(CLASSES, -1))


def test_initial_weights() -> None:
    torch.manual_seed(0)
    decoder = AtmDecoder(96, 3, 2)
    initialise_linear_layers(decoder)
    for name, parameter in decoder.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all()
        elif "in_proj" not in name:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
