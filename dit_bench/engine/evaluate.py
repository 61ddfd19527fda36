"""Evaluate a network on a data set: every image once, its prediction, its routing and its MACs on record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dit_bench.data.loading import Dataset, evaluation_batches
from dit_bench.data.transforms import PAPERS_PREPROCESSING, Preprocessing
from dit_bench.engine.accounting import Accounts
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.parameters import valid_parameters
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


@torch.no_grad()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    settings: RunSettings,
    runtime: RuntimeSettings,
    device: torch.device,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    *,
    present_classes: Sequence[int] | None = None,
    preprocessing: Preprocessing = PAPERS_PREPROCESSING,
) -> Evaluation:
    """Score `model` on every image of `dataset`, counting the executed MACs of each image from its own routing.

    `on_batch(done, total)` reports progress in images. With `present_classes`, the metrics also hold
    `top1_present_percent`: the top-1 accuracy of a classifier that may only name these classes. `preprocessing` is for
    image folders. Raises DataError if an image cannot be read.
    """
    model.eval().to(device)
    batches: dict[str, list[np.ndarray]] = {name: [] for name in ("index", "label", "prediction", "top5_hit")}
    hits_among_present = 0
    ledgers: list[Ledger] = []
    accounts: Accounts | None = None
    start = time.perf_counter()
    for index, images, labels in evaluation_batches(
        dataset,
        settings.data,
        batch_size=runtime.eval_batch_size,
        workers=runtime.workers,
        preprocessing=preprocessing,
    ):
        images, labels = images.to(device), labels.to(device)
        if accounts is None:  # all images have one size
            accounts = Accounts.of(model, settings, (images.shape[-2], images.shape[-1]), dataset.num_classes)
        with autocast(device, settings.numerics):
            logits, ledger = accounts.run(model, images)
        ledgers.append(ledger)
        batches["index"].append(index.numpy())
        batches["label"].append(labels.cpu().numpy())
        batches["prediction"].append(logits.argmax(dim=1).cpu().numpy())
        batches["top5_hit"].append(top_k_hits(logits.float(), labels, 5).cpu().numpy())
        if present_classes is not None:
            hits_among_present += int((best_among(logits, present_classes) == labels).sum())
        on_batch(sum(map(len, batches["index"])), len(dataset))
    synchronize(device)
    seconds = time.perf_counter() - start
    assert accounts is not None
    ledger = Ledger.concatenate(ledgers)
    records = {name: np.concatenate(parts) for name, parts in batches.items()}
    assert len(np.unique(records["index"])) == len(dataset), "an image was evaluated twice or not at all"
    records |= {"macs": ledger.macs, "kept": ledger.kept, "columns": ledger.columns, "live": ledger.live}
    records["tokens"] = np.array(accounts.num_tokens, np.int32)
    metrics = summarise(records) | accounts.fixed_gmacs()
    if present_classes is not None:
        metrics["top1_present_percent"] = 100 * hits_among_present / len(dataset)
    metrics["params_total_m"] = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    metrics["params_valid_m"] = (
        valid_parameters(model, ledger) / 1e6 if isinstance(model, DiT) else metrics["params_total_m"]
    )
    metrics["eval_seconds"] = seconds
    return Evaluation(
        records,
        metrics,
        kept_ratio=(ledger.kept / np.array(accounts.num_tokens)[:, None]).mean(axis=0).tolist(),
        column_open_ratio=ledger.columns.mean(axis=0).tolist(),
    )


def best_among(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """The class with the highest logit of `(B, K)` among `classes`, int64 `(B,)`."""
    chosen = torch.tensor(classes, device=logits.device)
    return chosen[logits[:, chosen].argmax(dim=1)]


def summarise(records: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy in percent and the distribution of executed GMACs over images."""
    return {
        "top1_percent": 100 * float((records["prediction"] == records["label"]).mean()),
        "top5_percent": 100 * float(records["top5_hit"].mean()),
        **cost_distribution(records["macs"]),
    }


def cost_distribution(macs: np.ndarray) -> dict[str, float]:
    """Mean, standard deviation and percentiles of GMACs over images, from MACs `(n,)`."""
    gmacs = macs / 1e9
    percentiles = {f"gmacs_p{q}": float(np.percentile(gmacs, q)) for q in (5, 50, 95)}
    return {
        "gmacs_mean": float(gmacs.mean()),
        "gmacs_sd": float(macs.std(ddof=1)) / 1e9 if len(macs) > 1 else 0.0,
        **percentiles,
    }
