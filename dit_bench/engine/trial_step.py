"""One training step of a network on random pixels: how fast it is here, and what it keeps for the backward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from dit_bench.cost.formulas import Grid
from dit_bench.engine.build import routed_part
from dit_bench.engine.counting import counted_classes
from dit_bench.engine.devices import autocast, resolve_device, synchronize
from dit_bench.engine.segmentation_build import set_pruning
from dit_bench.engine.tasks import TASKS
from dit_bench.engine.workload import FORWARD_AND_BACKWARD, macs_and_params, training_size
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.structures import Objects, PaddedImages
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.options import RoutingState
from dit_bench.recipes.lineage import is_plain_vit
from dit_bench.recipes.settings import RunSettings

MOST_GMACS = 60.0
"""A trial takes no more than this, forward and backward: some seconds of one core."""
_REPEATS = 2
"""Timed steps, of which the fastest counts."""
_STEPS = 1 + _REPEATS
_SMALLEST_SIDE_PX = 64
_OBJECTS = ((0.1, 0.1, 0.5, 0.5), (0.4, 0.3, 0.9, 0.8))
"""Boxes in shares of the sides."""


@dataclass(frozen=True)
class Trial:
    """What a step on a small batch of images, maybe smaller than the run's, shows."""

    gmacs_per_second: float
    """Forward and backward."""
    kept_bytes_per_mac: float
    """Activations that are kept for the backward pass, over the forward MACs."""
    batch: int
    size: Grid


def trial_step(settings: RunSettings, device: str) -> Trial | None:
    """The trial for a network; None if even one image of it would take too long. Raises as building it does."""
    return _trial_step(_without_effect(settings).model_dump_json(), device)


def _without_effect(settings: RunSettings) -> RunSettings:
    """The same with defaults for what changes neither the network nor its images, so that rows share a trial."""
    plain = RunSettings()
    bare = settings.model.model_copy(update={"init_weights": None})
    options = settings.optimiser.model_copy(update={"lr": plain.optimiser.lr, "epochs": 12, "warmup_epochs": 1.0})
    routing = settings.routing.model_copy(update={"budget_weight": plain.routing.budget_weight})
    return settings.model_copy(update={"model": bare, "optimiser": options, "routing": routing})


@lru_cache(maxsize=64)
def _trial_step(settings_json: str, device_name: str) -> Trial | None:
    settings, device = RunSettings.model_validate_json(settings_json), resolve_device(device_name)
    size, macs = _affordable_size(settings)
    step_gmacs = FORWARD_AND_BACKWARD * macs / 1e9
    if _STEPS * step_gmacs > MOST_GMACS:
        return None
    batch = max(1, min(settings.optimiser.batch_size, int(MOST_GMACS / (_STEPS * step_gmacs))))
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        network = _network(settings).to(device).train()
        kept_bytes = _step(network, settings, batch, size, device)  # the first one is slow
        seconds = min(_seconds(lambda: _step(network, settings, batch, size, device), device) for _ in range(_REPEATS))
    return Trial(batch * step_gmacs / seconds, kept_bytes / (batch * macs), batch, size)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time of one call; on the CPU that of its threads, so that it says the same on a busy machine."""
    on_cpu = device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    synchronize(device)
    started = clock()
    run()
    synchronize(device)
    return (clock() - started) / (torch.get_num_threads() if on_cpu else 1)


def _affordable_size(settings: RunSettings) -> tuple[Grid, int]:
    """The size of the images, halved until one is affordable, and its MACs; networks of one size keep theirs."""
    size = training_size(settings)
    macs = macs_and_params(settings, size, training=True)[0]
    while not is_plain_vit(settings) and settings.task != "classification" and min(size) >= 2 * _SMALLEST_SIDE_PX:
        if _STEPS * FORWARD_AND_BACKWARD * macs / 1e9 <= MOST_GMACS:
            break
        size = (size[0] // 64 * 32, size[1] // 64 * 32)
        macs = macs_and_params(settings, size, training=True)[0]
    return size, macs


def _network(settings: RunSettings) -> nn.Module:
    network = TASKS[settings.task].build(settings, counted_classes(settings))
    routed = routed_part(network)
    if routed is not None:
        routed.routing_state = RoutingState(open=False, noise=1.0)
    return network


def _step(network: nn.Module, settings: RunSettings, batch: int, size: Grid, device: torch.device) -> int:
    """One step forward and backward; returns the bytes that were kept between the two."""
    storages: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    network.zero_grad(set_to_none=True)
    with saved_tensors_hooks(note, lambda tensor: tensor), autocast(device, settings.numerics):
        loss = _loss(network, settings, batch, size, device)
    loss.backward()
    return sum(storages.values())


def _loss(network: nn.Module, settings: RunSettings, batch: int, size: Grid, device: torch.device) -> Tensor:
    pixels = torch.randn(batch, 3, *size, device=device)
    num_classes = counted_classes(settings)
    if settings.task == "classification":
        logits = network(pixels, with_trace=True)[0] if isinstance(network, DiT) else network(pixels)
        return nn.functional.cross_entropy(logits.float(), torch.arange(batch, device=device) % num_classes)
    if isinstance(network, DetectionNetwork):
        objects = [_objects(size, num_classes, masks=network.detector.predicts_masks).to(device)] * batch
        terms, _ = network.losses(PaddedImages(pixels, [size] * batch), objects)
        return torch.stack([term.float() for term in terms.values()]).sum()
    set_pruning(network, settings, training=True)
    labels = torch.randint(num_classes, (batch, *size), device=device)
    loss, _ = network.loss(pixels, labels)  # type: ignore[operator]  # of any segmenter
    return loss


def _objects(size: Grid, num_classes: int, *, masks: bool) -> Objects:
    height, width = size
    boxes = torch.tensor(_OBJECTS) * torch.tensor([width, height, width, height])
    filled = torch.zeros(len(boxes), height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(filled, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    return Objects(boxes, torch.arange(len(boxes)) % num_classes, filled if masks else None)
