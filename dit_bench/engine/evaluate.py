"""Evaluate a network on a data set: every image once, its prediction, its routing and its MACs on record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.data.loading import Dataset, evaluation_batches
from dit_bench.data.transforms import PAPERS_PREPROCESSING, Preprocessing
from dit_bench.engine import distributed
from dit_bench.engine.accounting import Accounts
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.errors import DataError
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.parameters import valid_parameters
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.tasks.classification import top_k_hits
from dit_bench.tasks.plugin_metrics import metric_plugins, plugin_figures

UNREAD = -1
"""The prediction for an image that could not be read."""


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


@dataclass(frozen=True)
class _ScoredBatch:
    """What was found on one batch."""

    records: dict[str, np.ndarray]
    ledger: Ledger
    image_size: Grid
    hits_among_present: int
    scores: np.ndarray | None
    """Logits, for metrics of other packages."""


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
    lenient: bool = False,
) -> Evaluation:
    """Score `model` on every image of `dataset`, counting the executed MACs of each image from its own routing.

    `on_batch(done, total)` reports progress in images. With `present_classes`, the metrics also hold
    `top1_present_percent`: the top-1 accuracy of a classifier that may only name these classes. `preprocessing` is for
    image folders. With `lenient` an image that cannot be read counts as wrong (prediction −1) and in
    `images_unreadable`, and not in the costs.

    Raises DataError if an image, or with `lenient` every image, cannot be read, PluginError if a metric of another
    package fails.
    """
    wanted = metric_plugins(settings.evaluation.metrics)
    model.eval().to(device)
    own: list[_ScoredBatch] = []
    accounts: Accounts | None = None
    start = time.perf_counter()
    for index, images, labels in evaluation_batches(
        dataset,
        settings.data,
        batch_size=runtime.eval_batch_size,
        workers=runtime.workers,
        preprocessing=preprocessing,
        only=distributed.own_batches(),
        lenient=lenient,
    ):
        unread = index < 0
        index = torch.where(unread, -1 - index, index)
        images, labels = images.to(device), labels.to(device)
        image_size = (images.shape[-2], images.shape[-1])
        if accounts is None:  # all images have one size
            accounts = Accounts.of(model, settings, image_size, dataset.num_classes)
        with autocast(device, settings.numerics):
            logits, ledger = accounts.run(model, images)
        records = {
            "index": index.numpy(),
            "label": labels.cpu().numpy(),
            "prediction": logits.argmax(dim=1).cpu().masked_fill(unread, UNREAD).numpy(),
            "top5_hit": top_k_hits(logits.float(), labels, 5).cpu().masked_fill(unread, False).numpy(),
        }
        hits = 0
        if present_classes is not None:
            hits = int(((best_among(logits, present_classes) == labels).cpu() & ~unread).sum())
        scores = logits.float().cpu().numpy() if wanted else None
        own.append(_ScoredBatch(records, ledger, image_size, hits, scores))
        on_batch(distributed.progress(sum(len(batch.records["index"]) for batch in own), len(dataset)), len(dataset))
    synchronize(device)
    seconds = time.perf_counter() - start
    batches = distributed.interleaved(own)
    if accounts is None:  # this process had nothing to do
        accounts = Accounts.of(model, settings, batches[0].image_size, dataset.num_classes)
    ledger = Ledger.concatenate([batch.ledger for batch in batches])
    records = {name: np.concatenate([batch.records[name] for batch in batches]) for name in batches[0].records}
    assert len(np.unique(records["index"])) == len(dataset), "an image was evaluated twice or not at all"
    records |= {"macs": ledger.macs, "kept": ledger.kept, "columns": ledger.columns, "live": ledger.live}
    records["tokens"] = np.array(accounts.num_tokens, np.int32)
    was_read = records["prediction"] != UNREAD
    if not was_read.any():
        raise DataError("none of the images can be read", remedy="without --lenient the first of them is named")
    seen = ledger.select(was_read)
    metrics = summarise(records) | accounts.fixed_gmacs()
    if lenient:
        metrics["images_unreadable"] = float((~was_read).sum())
    if present_classes is not None:
        metrics["top1_present_percent"] = 100 * sum(batch.hits_among_present for batch in batches) / len(dataset)
    metrics["params_total_m"] = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    metrics["params_valid_m"] = (
        valid_parameters(model, seen) / 1e6 if isinstance(model, DiT) else metrics["params_total_m"]
    )
    metrics["eval_seconds"] = seconds
    if wanted:
        scores = np.concatenate([batch.scores for batch in batches if batch.scores is not None])
        metrics |= plugin_figures(wanted, scores[was_read], records["label"][was_read])
    return Evaluation(
        records,
        metrics,
        kept_ratio=(seen.kept / np.array(accounts.num_tokens)[:, None]).mean(axis=0).tolist(),
        column_open_ratio=seen.columns.mean(axis=0).tolist(),
    )


def best_among(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """The class with the highest logit of `(B, K)` among `classes`, int64 `(B,)`."""
    chosen = torch.tensor(classes, device=logits.device)
    return chosen[logits[:, chosen].argmax(dim=1)]


def summarise(records: dict[str, np.ndarray]) -> dict[str, float]:
    """Accuracy in percent over all images, and the distribution of executed GMACs over those that could be read."""
    return {
        "top1_percent": 100 * float((records["prediction"] == records["label"]).mean()),
        "top5_percent": 100 * float(records["top5_hit"].mean()),
        **cost_distribution(records["macs"][records["prediction"] != UNREAD]),
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
