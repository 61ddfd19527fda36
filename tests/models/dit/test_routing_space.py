"""The rules of the grid: liveness, forced columns, unreachable nodes, selection at matched MACs, schedules."""

import numpy as np
import pytest
import timm
import torch

from dit_bench.models.dit.costs import GridCosts, image_macs
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import RoutingOptions, RoutingState
from dit_bench.models.dit.parameters import valid_parameters
from dit_bench.models.dit.schedule import RoutingSchedule
from dit_bench.models.dit.selection import keep_highest, matched_counts, selected_macs


def routed(model: DiT, images: torch.Tensor) -> tuple[Ledger, GridCosts]:
    costs = model.costs((images.shape[-2], images.shape[-1]))
    with torch.no_grad():
        _, trace = model(images, with_trace=True)
    return Ledger.read(trace, costs), costs


def close_all_gates(model: DiT) -> None:
    for gate in model.gates():
        assert isinstance(gate, Gate)
        gate.projection.weight.data.zero_()
        gate.projection.bias.data.copy_(torch.tensor([-9.0, 9.0]))
        gate.copy_to_ema()


def test_fixed_paths_cost_their_closed_form(make_dit, images) -> None:
    for variant, expected in (("fully", "fully"), ("diagonal", "base"), ("cheapest", "cheapest")):
        ledger, costs = routed(make_dit(variant), images)
        closed = {"fully": costs.fully((0, 1, 2, 3, 4)), "base": costs.base, "cheapest": costs.cheapest()}[expected]
        assert (ledger.macs == closed).all(), variant


def test_every_image_reaches_the_last_scale_and_dead_scales_do_nothing(make_dit, images) -> None:
    for seed in range(4):
        ledger, _ = routed(make_dit("dynamic", seed=seed), images)
        opened_by = ledger.columns.cumsum(axis=2) > 0  # (n, N - 1, M + 1)
        assert opened_by[:, :, -1].all(), "a scale was never reached"
        assert (ledger.live[:, 1:] == opened_by[:, :, :-1]).all()
        assert ledger.live[:, 0].all()
        assert not ledger.kept[~ledger.live].any()
        scale_above_live = ledger.live[:, :-1]
        assert not (ledger.columns[:, :, :-1] & ~scale_above_live).any(), "a map that does not exist was embedded"


def test_closed_gates_are_forced_open_in_the_last_column_only(make_dit, images) -> None:
    model = make_dit("dynamic")
    close_all_gates(model)
    ledger, costs = routed(model, images)
    assert not ledger.columns[:, :, :-1].any()
    assert ledger.columns[:, :, -1].all()
    assert not ledger.kept.any()
    gates = sum(costs.row_gates[0]) + sum(costs.column_gates[0]) + costs.column_gates[1][4] + costs.column_gates[2][4]
    assert (ledger.macs == costs.cheapest() + gates).all(), "gates of scales that are not live cost nothing"


def test_stages_that_no_output_can_see_are_not_run(images) -> None:
    """Without patch embeddings in column M, the last stage of the finer scales cannot reach the classifier."""
    torch.manual_seed(0)
    model = timm.create_model("dit_nano", num_classes=10, routing=RoutingOptions(variant="fully", columns=(0, 1, 2, 3)))
    assert isinstance(model, DiT)
    model.eval()
    ledger, costs = routed(model, images)
    assert not ledger.kept[:, :3, 3].any()
    assert ledger.kept[:, 3, 3].all()
    unseen = sum(costs.stages[i][3].macs(costs.num_tokens[i]) for i in range(3))
    assert (ledger.macs == costs.fully((0, 1, 2, 3)) - unseen).all()
    with torch.no_grad():
        _, trace = model.route(images, outputs=(0, 1, 2, 3))
    assert trace.kept[0][3] is True, "the pyramid needs them"


@pytest.mark.parametrize("variant", ["static", "random", "attention"])
@pytest.mark.parametrize("budget_ratio", [0.5, 0.95])
def test_selection_meets_the_budget_and_one_token_more_would_not(make_dit, images, variant, budget_ratio) -> None:
    model = make_dit(variant, size="b1", budget_ratio=budget_ratio)
    costs = model.costs((224, 224))
    counts = matched_counts(costs, budget_ratio)
    assert selected_macs(costs, counts) <= budget_ratio * costs.base
    more = [min(tokens, count + 1) for tokens, count in zip(costs.num_tokens, counts, strict=True)]
    assert selected_macs(costs, more) > budget_ratio * costs.base
    ledger, small = routed(make_dit(variant, budget_ratio=budget_ratio), images)
    assert (ledger.macs == selected_macs(small, matched_counts(small, budget_ratio))).all()


def test_random_masks_follow_the_picture_and_differ_between_pictures(make_dit, images) -> None:
    model = make_dit("random")
    with torch.no_grad():
        _, first = model(images, with_trace=True)
        _, second = model(images.flip(0), with_trace=True)
    mask, flipped = first.kept[0][0], second.kept[0][0]
    assert isinstance(mask, torch.Tensor)
    assert isinstance(flipped, torch.Tensor)
    assert torch.equal(mask, flipped.flip(0))
    assert not torch.equal(mask[0], mask[1])


def test_keep_highest_breaks_ties_by_position() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0, 3.0, 0.0]])
    assert keep_highest(scores, 2).tolist() == [[0.0, 1.0, 1.0, 0.0, 0.0]]


def test_valid_parameters_are_those_of_used_nodes(make_dit, images) -> None:
    model = make_dit("dynamic")
    close_all_gates(model)
    ledger, _ = routed(model, images)
    used = valid_parameters(model, ledger)
    total = sum(parameter.numel() for parameter in model.parameters())
    stages = sum(parameter.numel() for parameter in model.grid.stages.parameters())
    assert used < total - stages, "no stage was used, nor the patch embeddings before the last column"
    fully = make_dit("fully")
    assert valid_parameters(fully, routed(fully, images)[0]) == sum(p.numel() for p in fully.parameters())


def test_training_walks_the_open_path_without_asking_gates(make_dit, images) -> None:
    model = make_dit("dynamic").train()
    model.routing_state = RoutingState(open=True)
    _, trace = model(images, with_trace=True)
    assert trace.kept == [[i == j for j in range(4)] for i in range(4)]
    macs = image_macs(trace, model.costs((64, 64)), torch.int64, images.device)
    assert (macs >= model.costs((64, 64)).base).all()


def test_images_that_are_too_small_are_refused(make_dit) -> None:
    with pytest.raises(ValueError, match="too small"):
        make_dit("fully")(torch.zeros(1, 3, 24, 64))


def test_schedule_opens_then_anneals_then_holds() -> None:
    schedule = RoutingSchedule(0.2, 1.0, 0.1, 0.6, 4.0, 0.2, 0.4)
    assert schedule.state(0.1).open
    assert not schedule.state(0.2).open
    assert [round(schedule.state(p).noise, 3) for p in (0.2, 0.4, 0.6, 1.0)] == [1.0, 0.55, 0.1, 0.1]
    assert [round(schedule.weight(p), 3) for p in (0.1, 0.2, 0.3, 0.4, 1.0)] == [0.0, 0.0, 2.0, 4.0, 4.0]


def test_a_selection_of_images_knows_nothing_of_the_others(make_dit, images) -> None:
    """The entries are those of a pass over the chosen images alone, and so are the parameters that they use."""
    model = make_dit("dynamic", seed=1)
    ledger, _ = routed(model, images)
    for places in ([0], [2, 1]):
        alone, _ = routed(model, images[places])
        chosen = ledger.select(np.array(places))
        for name in ("macs", "kept", "columns", "live"):
            assert np.array_equal(getattr(chosen, name), getattr(alone, name)), name
        assert valid_parameters(model, chosen) == valid_parameters(model, alone)
    mask = np.arange(len(images)) == 0
    assert np.array_equal(ledger.select(mask).kept, ledger.kept[:1])
