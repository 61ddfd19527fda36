"""Evaluate a network on a data set: every image once, its prediction, its routing and its MACs on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dit_bench.cost.formulas import Grid
from dit_bench.cost.latency import interleaved_seconds
from dit_bench.data.loading import Dataset, evaluation_batches
from dit_bench.engine.build import size_of
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.models.dit.costs import GridCosts, grid_costs
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.parameters import valid_parameters
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pvt import SIZES
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.tasks.classification import top_k_hits


@dataclass(frozen=True)
class Evaluation:
    """What was found on a data set: arrays over images, and figures drawn from them."""

    records: dict[str, np.ndarray]
    metrics: dict[str, float]
    kept_ratio: list[list[float]]
    column_open_ratio: list[list[float]]

    @property
    def num_images(self) -> int:
        """Number of images evaluated."""
        return len(self.records["index"])


def model_costs(model: nn.Module, settings: RunSettings, image_size: Grid, num_classes: int) -> GridCosts:
    """Closed-form costs of the network's nodes; PVTv2 is the diagonal of the grid of its size."""
    if isinstance(model, DiT):
        return model.costs(image_size)
    return grid_costs(SIZES[size_of(settings.model.name)], image_size, num_classes)


def diagonal_trace(costs: GridCosts, num_images: int) -> RoutingTrace:
    """The routing of a plain PVTv2: all tokens along the diagonal."""
    trace = RoutingTrace.empty(num_images, costs.grids, len(costs.stages[0]))
    for scale in range(len(costs.grids)):
        trace.kept[scale][scale] = True
        trace.live[scale][scale:] = [True] * (len(trace.live[scale]) - scale)
        if scale > 0:
            trace.columns[scale - 1][scale] = True
    return trace


@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    settings: RunSettings,
    runtime: RuntimeSettings,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Score `model` on every image of `dataset`, counting the executed MACs of each image from its own routing.

    `on_batch(done, total)` reports progress in images. Raises DataError if an image cannot be read.
    """
    model.eval().to(device)
    batches: dict[str, list[np.ndarray]] = {name: [] for name in ("index", "label", "prediction", "top5_hit")}
    ledgers: list[Ledger] = []
    costs: GridCosts | None = None
    start = time.perf_counter()
    for index, images, labels in evaluation_batches(
        dataset, settings.data, batch_size=runtime.eval_batch_size, workers=runtime.workers
    ):
        images, labels = images.to(device), labels.to(device)
        costs = model_costs(model, settings, (images.shape[-2], images.shape[-1]), dataset.num_classes)
        with autocast(device, settings.numerics):
            if isinstance(model, DiT):
                logits, trace = model(images, with_trace=True)
            else:
                logits, trace = model(images), diagonal_trace(costs, len(images))
        ledgers.append(Ledger.read(trace, costs))
        batches["index"].append(index.numpy())
        batches["label"].append(labels.cpu().numpy())
        batches["prediction"].append(logits.argmax(dim=1).cpu().numpy())
        batches["top5_hit"].append(top_k_hits(logits.float(), labels, 5).cpu().numpy())
        on_batch(sum(map(len, batches["index"])), len(dataset))
    synchronize(device)
    seconds = time.perf_counter() - start
    assert costs is not None
    ledger = Ledger.concatenate(ledgers)
    records = {name: np.concatenate(parts) for name, parts in batches.items()}
    assert len(np.unique(records["index"])) == len(dataset), "an image was evaluated twice or not at all"
    records |= {"macs": ledger.macs, "kept": ledger.kept, "columns": ledger.columns, "live": ledger.live}
    records["tokens"] = np.array(costs.num_tokens, np.int32)
    metrics = summarise(records, costs)
    metrics["params_total_m"] = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    metrics["params_valid_m"] = (
        valid_parameters(model, ledger) / 1e6 if isinstance(model, DiT) else metrics["params_total_m"]
    )
    metrics["eval_seconds"] = seconds
    return Evaluation(
        records,
        metrics,
        kept_ratio=(ledger.kept / np.array(costs.num_tokens)[:, None]).mean(axis=0).tolist(),
        column_open_ratio=ledger.columns.mean(axis=0).tolist(),
    )


def summarise(records: dict[str, np.ndarray], costs: GridCosts) -> dict[str, float]:
    """Accuracy in percent and the distribution of executed GMACs over images, beside the fixed paths' GMACs."""
    macs, gmacs = records["macs"], records["macs"] / 1e9
    percentiles = {f"gmacs_p{q}": float(np.percentile(gmacs, q)) for q in (5, 50, 95)}
    return {
        "top1_percent": 100 * float((records["prediction"] == records["label"]).mean()),
        "top5_percent": 100 * float(records["top5_hit"].mean()),
        "gmacs_mean": float(gmacs.mean()),
        "gmacs_sd": float(macs.std(ddof=1)) / 1e9 if len(macs) > 1 else 0.0,
        **percentiles,
        "base_gmacs": costs.base / 1e9,
        "fully_gmacs": costs.fully(tuple(range(len(costs.stages[0]) + 1))) / 1e9,
    }


@torch.no_grad()
def measure_latency(
    model: nn.Module,
    base: nn.Module,
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

    own, reference = interleaved_seconds([runner(model), runner(base)], rounds=rounds)
    per_image = 1e3 / len(images)
    return {"latency_ms_per_image": own * per_image, "base_latency_ms_per_image": reference * per_image}
