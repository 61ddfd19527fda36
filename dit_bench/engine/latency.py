"""Time per image of a network, beside PVTv2 of its size where there is one."""

from __future__ import annotations

from collections.abc import Callable

import timm
import torch
from torch import nn

from dit_bench.cost.latency import interleaved_seconds
from dit_bench.data.loading import Dataset, evaluation_batches
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.models.zoo import size_of
from dit_bench.recipes.settings import RunSettings

LATENCY_IMAGES = 8


def latency_metrics(
    model: nn.Module, dataset: Dataset, settings: RunSettings, device: torch.device, *, lenient: bool = False
) -> dict[str, float]:
    """Time per image of the network and of PVTv2 of its size, if it has one, on the first images of the data set.

    With `lenient` one that cannot be read is black.
    """
    size = size_of(settings.model.name)
    base = None if size is None else timm.create_model(f"pvt_v2_{size}", num_classes=dataset.num_classes)
    count = min(LATENCY_IMAGES, len(dataset))
    _, images, _ = next(iter(evaluation_batches(dataset, settings.data, batch_size=count, lenient=lenient)))
    return measure_latency(model, base, images, settings, device)


def measure_latency(
    model: nn.Module,
    base: nn.Module | None,
    images: torch.Tensor,
    settings: RunSettings,
    device: torch.device,
    rounds: int = 15,
) -> dict[str, float]:
    """Milliseconds per image of `model` and of `base`, timed in turn on the same batch of real images (medians)."""
    images = images.to(device)

    def runner(network: nn.Module) -> Callable[[], None]:
        network.eval().to(device)

        def run() -> None:
            with torch.no_grad(), autocast(device, settings.numerics):
                network(images)
            synchronize(device)

        return run

    networks = {"latency_ms_per_image": model}
    if base is not None:
        networks["base_latency_ms_per_image"] = base
    seconds = interleaved_seconds([runner(network) for network in networks.values()], rounds=rounds)
    return {name: 1e3 * taken / len(images) for name, taken in zip(networks, seconds, strict=True)}
