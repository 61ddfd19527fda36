"""What a plain ViT executed for each image: live tokens per stage, and MACs by closed form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dit_bench.cost.formulas import Grid
from dit_bench.engine.distributed import interleaved
from dit_bench.engine.evaluate import cost_distribution
from dit_bench.models.dtop.costs import CountingConvention, DTopCosts, VitShape, segvit_macs
from dit_bench.models.dtop.live import PruningTrace
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.segvit import SegVitNetwork
from dit_bench.runs.image_records import ImageRecords

_COUNTED = ("executed", "fvcore", "without_aux", "baseline", "baseline_fvcore")


class PlainVitRecorder:
    """Images of a data set, in whatever order they come. An image in several windows costs their mean, as printed."""

    def __init__(self, network: DTopNetwork | SegVitNetwork):
        self._network = network
        self._num_stages = network.num_stages if isinstance(network, DTopNetwork) else 1
        self._order: list[int] = []
        self._live: list[np.ndarray] = []
        self._tokens: list[int] = []
        self._macs: dict[str, list[float]] = {name: [] for name in _COUNTED}
        self._windows: list[int] = []

    @property
    def num_images(self) -> int:
        """Images so far."""
        return len(self._order)

    def add(self, index: int, trace: PruningTrace | None, rows: Sequence[int], window: Grid) -> None:
        """Take down an image: which rows of a traced batch its windows of (height, width) pixels were."""
        network, count = self._network, len(rows)
        tokens = VitShape.of(network.backbone).num_tokens(window)
        if isinstance(network, DTopNetwork):
            assert trace is not None
            costs = DTopCosts.of(network, window)
            live = trace.live[list(rows)].numpy()

            def mean(convention: CountingConvention, *, with_aux: bool, upsamplings: int) -> float:
                options = {"with_aux": with_aux, "upsamplings": upsamplings}
                macs = [costs.macs(each, trace.heads_run, convention, **options) for each in live.tolist()]
                return sum(macs) / count

            found = {
                "executed": mean("matmul", with_aux=True, upsamplings=0),
                "fvcore": mean("fvcore", with_aux=True, upsamplings=2),
                "without_aux": mean("fvcore", with_aux=False, upsamplings=2),
                "baseline": float(costs.baseline("matmul")),
                "baseline_fvcore": float(costs.baseline("fvcore")),
            }
        else:
            live = np.full((count, 1), tokens)
            plain = float(segvit_macs(network, window, "matmul"))
            printed = float(segvit_macs(network, window, "fvcore"))
            found = dict(zip(_COUNTED, (plain, printed, printed, plain, printed), strict=True))
        for name, macs in found.items():
            self._macs[name].append(macs)
        self._order.append(index)
        self._live.append(live.sum(axis=0))
        self._tokens.append(tokens * count)
        self._windows.append(count)

    def share(self, sizes: Sequence[int]) -> None:
        """Tell other processes of our batches, of so many images each, and hear of theirs."""
        of_images = list(zip(self._order, self._live, self._tokens, self._windows, *self._macs.values(), strict=True))
        ends = np.cumsum([0, *sizes]).tolist()
        batches = interleaved([of_images[start:end] for start, end in pairwise(ends)])
        columns = zip(*(image for batch in batches for image in batch), strict=True)
        self._order, self._live, self._tokens, self._windows, *macs = (list(column) for column in columns)
        self._macs = dict(zip(self._macs, macs, strict=True))

    def records(self, num_images: int) -> ImageRecords:
        """All images in the order of the data set: one scale, a column per stage; tokens are those of all windows."""
        assert sorted(self._order) == list(range(num_images)), "an image was evaluated twice or not at all"
        order, stages = np.argsort(self._order), self._num_stages
        return ImageRecords(
            index=np.arange(num_images),
            macs=np.rint(np.array(self._macs["executed"])[order]).astype(np.int64),
            kept=np.array(self._live, np.int32)[order][:, None],
            tokens=np.array(self._tokens, np.int32)[order][:, None],
            columns=np.zeros((num_images, 0, stages + 1), np.bool_),
            live=np.ones((num_images, 1, stages), np.bool_),
        )

    def metrics(self) -> dict[str, float]:
        """GMACs per window: executed, as the paper counts them with and without auxiliary heads, without pruning."""
        total = sum(parameter.numel() for parameter in self._network.parameters()) / 1e6
        return cost_distribution(np.rint(np.array(self._macs["executed"])).astype(np.int64)) | {
            "fvcore_gmacs_mean": float(np.mean(self._macs["fvcore"])) / 1e9,
            "fvcore_gmacs_without_aux_mean": float(np.mean(self._macs["without_aux"])) / 1e9,
            "base_gmacs": float(np.mean(self._macs["baseline"])) / 1e9,
            "base_fvcore_gmacs": float(np.mean(self._macs["baseline_fvcore"])) / 1e9,
            "windows_per_image": float(np.mean(self._windows)),
            "params_total_m": total,
            "params_valid_m": total,
        }
