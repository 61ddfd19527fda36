"""Gates: the sampled distribution, the straight-through gradient, the moving average, determinism in inference."""

import pytest
import torch

from dit_bench.models.dit.gates import Gate, gumbel
from dit_bench.models.dit.options import GateOptions


def make_gate(gap: float = 0.0, **options: float) -> Gate:
    gate = Gate(8, GateOptions(initial_keep_logit=gap, **options), initially_open=True)  # type: ignore[arg-type]
    torch.nn.init.zeros_(gate.projection.weight)
    gate.copy_to_ema()
    return gate


def test_gumbel_noise_has_its_mean_and_variance() -> None:
    noise = gumbel(torch.Size((200_000,)), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.isfinite(noise).all()
    assert abs(noise.mean().item() - 0.5772) < 0.01
    assert abs(noise.var().item() - torch.pi**2 / 6) < 0.02


@pytest.mark.parametrize("gap", [-3.0, 0.0, 2.2, 4.0])
def test_keep_rate_is_the_sigmoid_of_the_logit_gap(gap: float) -> None:
    """Logits, not probabilities, are perturbed: a gap of 4 keeps 98 %, which probabilities could never reach."""
    gate = make_gate(gap).train()
    kept = gate(torch.randn(4, 20_000, 8), noise=1.0, generator=torch.Generator().manual_seed(0))
    assert abs(kept.mean().item() - torch.sigmoid(torch.tensor(gap)).item()) < 0.01
    assert set(kept.detach().round().unique().tolist()) <= {0.0, 1.0}


def test_straight_through_gradient_is_that_of_the_soft_gate() -> None:
    gate = make_gate(0.7).train()
    features = torch.randn(5, 8)
    gate(features, noise=0.0, generator=None).sum().backward()
    keep = torch.sigmoid(torch.tensor(0.7))
    expected = 5 * keep * (1 - keep)
    assert gate.projection.bias.grad is not None
    torch.testing.assert_close(gate.projection.bias.grad, torch.stack([expected, -expected]))


@pytest.mark.parametrize("detach", [True, False])
def test_detach_input_decides_whether_features_feel_the_gate(detach: bool) -> None:
    gate = Gate(8, GateOptions(detach_input=detach), initially_open=True).train()
    features = torch.randn(5, 8, requires_grad=True)
    gate(features, noise=0.0, generator=None).sum().backward()
    assert (features.grad is None) == detach


def test_inference_is_deterministic_and_uses_the_moving_average() -> None:
    gate = make_gate(4.0)
    with torch.no_grad():
        gate.projection.bias.copy_(torch.tensor([-5.0, 5.0]))
    gate.eval()
    features = torch.randn(3, 8)
    assert torch.equal(gate(features, noise=1.0, generator=None), torch.ones(3)), "the average still says keep"
    for _ in range(200):
        gate.update_ema()
    assert torch.equal(gate(features, noise=1.0, generator=None), torch.zeros(3))


def test_moving_average_follows_eq_3_with_warm_up() -> None:
    gate = make_gate(2.0, ema_momentum=0.5)
    with torch.no_grad():
        gate.projection.bias.zero_()
    gate.update_ema()
    # Warm-up: the first momentum is (1 + 0) / (10 + 0).
    torch.testing.assert_close(gate.ema_bias, torch.tensor([0.1, -0.1]))
    for _ in range(30):
        gate.update_ema()
    before = gate.ema_bias.clone()
    gate.update_ema()
    torch.testing.assert_close(gate.ema_bias, 0.5 * before)


def test_normalised_input_ignores_the_scale_of_features() -> None:
    gate = Gate(8, GateOptions(normalise_input=True), initially_open=True).eval()
    features = torch.randn(10, 8)
    torch.testing.assert_close(gate.logits(features), gate.logits(100 * features), atol=1e-4, rtol=1e-4)
