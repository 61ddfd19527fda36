"""DETR: published size, another implementation's output, cost, padding."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dit_bench.cost.census import take_census
from dit_bench.models.detectors.detr import DETR
from dit_bench.models.detectors.detr_transformer import DecoderLayer, EncoderLayer
from dit_bench.models.detectors.structures import Detections, Objects, PaddedImages

NO_MAPS = [torch.zeros(0)] * 3
CONFIG = {"d_model": 16, "activation_function": "relu", "dropout": 0.0, "attention_dropout": 0.0}


def _tiny() -> DETR:
    torch.manual_seed(0)
    detector = DETR([1, 1, 1, 6], 4, num_queries=7, width=16, num_layers=2, num_heads=2, ffn_width=24).eval()
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return detector


def _detect(detector: DETR, last_map: Tensor, sizes: list[tuple[int, int]]) -> list[Detections]:
    height, width = (32 * side for side in last_map.shape[-2:])
    return detector.detect([*NO_MAPS, last_map], PaddedImages(torch.zeros(len(sizes), 3, height, width), sizes))


def test_trainable_parameters_of_the_original() -> None:
    """41 302 368 with 91 classes; of ResNet-50's convolutions (23 454 912) the stem and first stage (222 400) rest."""
    with torch.device("meta"):
        detector = DETR([256, 512, 1024, 2048], 91)
    assert sum(p.numel() for p in detector.parameters()) + 23_454_912 - 222_400 == 41_302_368


def test_macs() -> None:
    """An 800 x 1280 image has L = 25 · 40 cells; n = 100 queries; everything is dispatched."""
    cells, n, c, hidden = 25 * 40, 100, 256, 2048
    encoder = cells * (4 * c**2 + 2 * c * hidden) + 2 * cells**2 * c
    decoder = n * (6 * c**2 + 2 * c * hidden) + 2 * cells * c**2 + 2 * n * n * c + 2 * n * cells * c
    heads = n * (c * 81 + 2 * c**2 + 4 * c)
    with torch.device("meta"):
        detector = DETR([64, 128, 320, 512], 80)
        census = take_census(detector, [*NO_MAPS, torch.zeros(1, 512, 25, 40)], (800, 1280))
    assert census.macs == census.dispatched_macs == cells * 512 * c + 6 * (encoder + decoder) + heads
    assert census.unexplained == []


def test_more_padding_changes_nothing() -> None:
    """An image of 5 x 4 cells, the last of each side begun only, alone and beside a larger one."""
    detector, size = _tiny(), (32 * 4 + 1, 32 * 4)
    last_map = torch.randn(1, 6, 5, 4)
    (alone,) = _detect(detector, last_map, [size])
    padded = torch.randn(2, 6, 9, 7)
    padded[:1, :, :5, :4] = last_map
    (beside, other) = _detect(detector, padded, [size, (9 * 32, 7 * 32)])
    torch.testing.assert_close(beside.boxes, alone.boxes, atol=1e-3, rtol=0)
    torch.testing.assert_close(beside.scores, alone.scores, atol=1e-5, rtol=0)
    assert torch.equal(beside.labels, alone.labels)
    # What lies in the padding matters for an image that it belongs to.
    padded[:, :, 5:] += 1
    (unchanged, changed) = _detect(detector, padded, [size, (9 * 32, 7 * 32)])
    torch.testing.assert_close(unchanged.boxes, beside.boxes, atol=1e-3, rtol=0)
    assert (changed.boxes - other.boxes).abs().max() > 0.1


def test_autocast_leaves_the_boxes_in_full_precision() -> None:
    """A rounded logit would move the sides of a 1333 px wide image's boxes by pixels."""
    detector, found, sizes = _tiny(), torch.randn(1, 7, 16), [(800, 1333)]
    expected = detector._predict(found, sizes)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = detector._predict(found, sizes)
    assert predicted.logits.dtype == torch.bfloat16
    assert torch.equal(predicted.boxes, expected.boxes)


def test_background_is_no_detection() -> None:
    """Every query gives its best class, however likely the background is; boxes are relative to the image."""
    detector = _tiny()
    nn.init.zeros_(detector.class_head.weight)
    box_logits = detector.box_head[-1]
    assert isinstance(box_logits, nn.Linear)
    nn.init.zeros_(box_logits.weight)
    with torch.no_grad():
        detector.class_head.bias.copy_(torch.tensor([0.1, 0.05, 0.2, 0.05, 0.6]).log())
        box_logits.bias.copy_(torch.tensor([0.5, 0.25, 0.5, 0.1]).logit())
    (found,) = _detect(detector, torch.randn(1, 6, 3, 4), [(80, 100)])
    assert found.labels.tolist() == [2] * 7
    torch.testing.assert_close(found.scores, torch.full((7,), 0.2))
    torch.testing.assert_close(found.boxes, torch.tensor([[25.0, 16, 75, 24]]).expand(7, 4))


def test_loss_has_the_weights_of_the_paper() -> None:
    """Cross-entropy 1, L1 of relative centre and size 5, GIoU 2, of every layer."""
    detector = _tiny()
    box_logits = detector.box_head[-1]
    assert isinstance(box_logits, nn.Linear)
    nn.init.zeros_(detector.class_head.weight)
    nn.init.zeros_(box_logits.weight)
    with torch.no_grad():
        detector.class_head.bias.copy_(torch.tensor([0.1, 0.05, 0.2, 0.05, 0.6]).log())
        box_logits.bias.copy_(torch.tensor([0.5, 0.25, 0.5, 0.1]).logit())
    images = PaddedImages(torch.zeros(1, 3, 96, 128), [(80, 100)])
    # Twice as high as the box 25 16 75 24, and from its upper side on.
    objects = [Objects(torch.tensor([[25.0, 16, 75, 32]]), torch.tensor([2]))]
    terms = detector.losses([*NO_MAPS, torch.randn(1, 6, 3, 4)], images, objects)
    for layer in ("layer1", "layer2"):
        cross_entropy = -(math.log(0.2) + 6 * 0.1 * math.log(0.6)) / 1.6
        assert terms[f"{layer}.classification"].item() == pytest.approx(cross_entropy, rel=1e-5)
        assert terms[f"{layer}.l1"].item() == pytest.approx(5 * (0.05 + 0.1), rel=1e-5)
        assert terms[f"{layer}.giou"].item() == pytest.approx(2 * 0.5, rel=1e-5)


def _attention_weights(state: dict[str, Tensor], ours: nn.Module, prefix: str) -> None:
    attention: Any = ours
    for name, weight, bias in zip(
        "qkv", attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True
    ):
        state[f"{prefix}.{name}_proj.weight"], state[f"{prefix}.{name}_proj.bias"] = weight, bias
    state[f"{prefix}.o_proj.weight"], state[f"{prefix}.o_proj.bias"] = attention.out_proj.parameters()


def _layer_weights(layer: EncoderLayer | DecoderLayer) -> dict[str, Tensor]:
    """Under the names of the transformers library."""
    state: dict[str, Tensor] = {}
    attentions = {"self_attn": layer.self_attention}
    if isinstance(layer, DecoderLayer):
        attentions["encoder_attn"] = layer.cross_attention
    norms = {"final_layer_norm": layer.feed_forward.norm}
    for name, sublayer in attentions.items():
        _attention_weights(state, sublayer.attention, name)
        norms[f"{name}_layer_norm"] = sublayer.norm
    linear = {"mlp.fc1": layer.feed_forward.layers[0], "mlp.fc2": layer.feed_forward.layers[3]}
    for name, module in {**norms, **linear}.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = module.parameters()
    return state


@torch.no_grad()
def test_is_the_transformers_librarys_detr() -> None:
    library = pytest.importorskip("transformers.models.detr.modeling_detr")
    detector = _tiny()
    config = library.DetrConfig(
        **CONFIG,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        attn_implementation="eager",
    )
    encoder, decoder = library.DetrEncoder(config).eval(), library.DetrDecoder(config).eval()
    for ours, theirs in ((detector.transformer.encoder, encoder), (detector.transformer.decoder, decoder)):
        for layer, its in zip(ours, theirs.layers, strict=True):
            assert isinstance(layer, (EncoderLayer, DecoderLayer))
            its.load_state_dict(_layer_weights(layer))
    decoder.layernorm.load_state_dict(detector.transformer.norm.state_dict())
    last_map, sizes = torch.randn(2, 6, 5, 6), [(150, 192), (96, 110)]
    mask = torch.zeros(2, 5, 6, dtype=torch.int64)
    mask[0], mask[1, :3, :4] = 1, 1
    projected = detector.projection(last_map)
    code = library.DetrSinePositionEmbedding(8, normalize=True)
    positions = code(projected.shape, projected.device, projected.dtype, mask).flatten(2).transpose(1, 2)
    memory = encoder(
        inputs_embeds=projected.flatten(2).transpose(1, 2),
        attention_mask=mask.flatten(1),
        spatial_position_embeddings=positions,
    ).last_hidden_state
    found = decoder(
        inputs_embeds=torch.zeros(2, 7, 16),
        encoder_hidden_states=memory,
        encoder_attention_mask=mask.flatten(1),
        spatial_position_embeddings=positions,
        object_queries_position_embeddings=detector.queries.expand(2, -1, -1),
    ).last_hidden_state
    ours = detector._decode(last_map, sizes, (160, 192))
    assert len(ours) == 2
    torch.testing.assert_close(ours[-1], found, atol=1e-4, rtol=0)
