"""Token heads: FCN against convolutions, the score of attention to mask by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dit_bench.models.dtop.heads import AtmHead, FcnHead, HeadOutput, token_scores
from dit_bench.models.dtop.layout import RaggedLayout


def _fcn() -> tuple[FcnHead, nn.Sequential]:
    torch.manual_seed(0)
    head = FcnHead(12, 5, 6)
    convolutions = nn.Sequential(nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 1))
    nn.init.normal_(head.norm.weight)
    nn.init.normal_(head.norm.bias)
    assert head.norm.running_mean is not None
    nn.init.normal_(head.norm.running_mean)
    ours = list(head.state_dict().values())
    theirs = convolutions.state_dict()
    convolutions.load_state_dict({key: value.view_as(theirs[key]) for key, value in zip(theirs, ours, strict=True)})
    return head, convolutions


@pytest.mark.parametrize("training", [False, True])
def test_fcn_is_two_1x1_convolutions(training: bool) -> None:
    head, convolutions = _fcn()
    head.train(training)
    convolutions.train(training)
    maps = torch.randn(2, 12, 3, 4)
    output = head(maps.permute(0, 2, 3, 1).flatten(0, 2), RaggedLayout([12, 12], maps.device))
    torch.testing.assert_close(
        output.logits, convolutions(maps).permute(0, 2, 3, 1).flatten(0, 2), atol=1e-5, rtol=1e-4
    )
    assert output.presence is None


@pytest.mark.parametrize("count", [0, 1])
def test_fcn_trains_on_too_few_tokens_for_a_variance(count: int) -> None:
    head, _ = _fcn()
    tokens = torch.randn(count, 12)
    before = [buffer.clone() for buffer in head.buffers()]
    trained = head.train()(tokens, RaggedLayout([count], tokens.device)).logits
    trained.sum().backward()
    assert all(torch.equal(old, new) for old, new in zip(before, head.buffers(), strict=True))
    torch.testing.assert_close(trained, head.eval()(tokens, RaggedLayout([count], tokens.device)).logits)


def test_scores_by_hand() -> None:
    """Presence of two images' classes times the sigmoid of each token's mask; softmax for FCN."""
    presence = torch.tensor([[[0.0, 0.0], [3.0, 3.0 - torch.tensor(3.0).log()]]]).repeat(2, 1, 1)
    presence[1, 0, 0] = torch.tensor(4.0).log()
    masks = torch.tensor([[0.0, 0.0], [1.0, -1.0], [0.0, 2.0]])
    scores = token_scores(HeadOutput(masks, presence), RaggedLayout([1, 2], masks.device))
    sigmoid = [0.5, 0.7310586, 0.2689414, 0.8807971]
    expected = [[0.5 * 0.5, 0.75 * 0.5], [0.8 * sigmoid[1], 0.75 * sigmoid[2]], [0.8 * 0.5, 0.75 * sigmoid[3]]]
    torch.testing.assert_close(scores, torch.tensor(expected))
    scores = token_scores(HeadOutput(torch.tensor([[0.0, torch.tensor(3.0).log()]])), RaggedLayout([1], masks.device))
    torch.testing.assert_close(scores, torch.tensor([[0.25, 0.75]]))


def test_atm_has_class_tokens_of_its_own_and_two_ways() -> None:
    torch.manual_seed(0)
    head = AtmHead(32, 150, 16, 2, 3)
    assert head.classes.weight.shape == (150, 16)
    assert head.classes.weight.std().item() == pytest.approx(1.0, rel=0.05)
    assert head.presence.weight.shape == (2, 16)
    assert len(head.decoder.layers) == 3
    assert head.project.get_parameter("0.weight").std().item() == pytest.approx(0.02, rel=0.1)
    output = head(torch.randn(9, 32), RaggedLayout([3, 6], torch.device("cpu")))
    assert output.logits.shape == (9, 150)
    assert output.presence is not None
    assert output.presence.shape == (2, 150, 2)
