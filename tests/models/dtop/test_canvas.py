"""Stitching of verdicts: who speaks last, and logits that one kind of head takes over from the other."""

from __future__ import annotations

import torch

from dit_bench.models.dtop.canvas import Canvas, StageVerdict, translated
from dit_bench.models.dtop.heads import HeadOutput
from dit_bench.models.dtop.layout import RaggedLayout
from dit_bench.models.dtop.live import LiveTokens

CPU = torch.device("cpu")


def _live(counts: list[int], places: list[int] | None, has_means: bool = False) -> LiveTokens:
    where = None if places is None else torch.tensor(places)
    return LiveTokens(torch.zeros(sum(counts), 1), RaggedLayout(counts, CPU), where, has_means)


def test_live_tokens_are_overwritten_and_means_have_no_place() -> None:
    canvas = Canvas(2, 3, mixed=False)
    canvas.write("fcn", HeadOutput(torch.arange(6.0)[:, None]), _live([3, 3], None))
    verdict = canvas.write(
        "fcn", HeadOutput(torch.tensor([[10.0], [99.0], [40.0], [50.0]])), _live([2, 2], [1, -1, 3, 5], has_means=True)
    )
    assert verdict.logits.flatten().tolist() == [0, 10, 2, 40, 4, 50]
    assert torch.equal(canvas.scores(), verdict.logits)


def test_presence_is_the_last_heads() -> None:
    canvas = Canvas(1, 2, mixed=False)
    canvas.write("atm", HeadOutput(torch.zeros(2, 1), torch.tensor([[[0.0, 0.0]]])), _live([2], None))
    canvas.write("atm", HeadOutput(torch.full((1, 1), 50.0), torch.tensor([[[50.0, 0.0]]])), _live([1], [1]))
    assert canvas.scores().flatten().tolist() == [0.5, 1.0]


def test_mixed_heads_leave_probabilities() -> None:
    """Attention to mask with presence 1/2, then FCN: neither score is changed afterwards."""
    canvas = Canvas(1, 2, mixed=True)
    canvas.write("atm", HeadOutput(torch.tensor([[0.0, 50.0]] * 2), torch.zeros(1, 2, 2)), _live([2], None))
    canvas.write("fcn", HeadOutput(torch.tensor([[0.0, 0.0]])), _live([1], [1]))
    assert canvas.scores()[0].tolist() == [[0.25, 0.5], [0.5, 0.5]]


def test_translated_logits_give_the_same_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, presence = torch.randn(2, 7, 4, generator=generator), torch.randn(2, 4, 2, generator=generator)
    of_fcn = translated(StageVerdict("fcn", logits, None))
    torch.testing.assert_close(of_fcn.sigmoid(), logits.softmax(-1))
    of_atm = translated(StageVerdict("atm", logits, presence))
    scores = presence.softmax(-1)[:, None, :, 0] * logits.sigmoid()
    torch.testing.assert_close(of_atm.softmax(-1), scores / scores.sum(-1, keepdim=True))


def test_certainty_translates_to_finite_logits_and_gradients() -> None:
    logits = torch.tensor([[[200.0, 0.0, -200.0]]], requires_grad=True)
    for verdict in (StageVerdict("fcn", logits, None), StageVerdict("atm", logits, 200 * torch.eye(3)[None, :, :2])):
        found = translated(verdict)
        found.sum().backward()
        assert found.isfinite().all()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
