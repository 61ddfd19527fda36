"""How a segmentation network takes test images: whole, or, a plain ViT, in windows; and what is taken down of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from torch import Tensor, nn

from dit_bench.data.coco.grouping import PAD_MULTIPLE_PX
from dit_bench.engine.dtop_records import PlainVitRecorder
from dit_bench.engine.dtop_windows import cut_windows, merge_windows
from dit_bench.engine.pyramid_records import PyramidRecorder
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.models.dtop.segvit import SegVitNetwork
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.image_records import ImageRecords


class SegmentationRunner(Protocol):
    """Scores of test images, and the record of their cost."""

    multiple: int
    """Sides of test images are rounded up to it."""

    def scores(self, pixels: Tensor, indices: Sequence[int]) -> Iterator[Tensor]:
        """Scores `(K, h, w)` of each image of a batch `(B, 3, H, W)`, on any grid over the whole image."""
        ...

    def share(self, sizes: Sequence[int]) -> None:
        """Exchange with other processes what was taken down of our batches, of so many images each."""
        ...

    def records(self, num_images: int) -> ImageRecords:
        """What each image executed, in the order of the data set."""
        ...

    def metrics(self) -> dict[str, float]:
        """Distribution of GMACs, and parameters."""
        ...


class PyramidRunner:
    """Whole images through backbone and segmenter."""

    multiple = PAD_MULTIPLE_PX

    def __init__(self, network: SegmentationNetwork, name: str):
        self._network, self._recorder = network, PyramidRecorder(network, name)
        self.share, self.records, self.metrics = self._recorder.share, self._recorder.records, self._recorder.metrics

    def scores(self, pixels: Tensor, indices: Sequence[int]) -> Iterator[Tensor]:
        """See `SegmentationRunner`."""
        logits, trace = self._network.segment(pixels)
        self._recorder.add(trace, (pixels.shape[2], pixels.shape[3]), indices)
        yield from logits


class PlainVitRunner:
    """Images through a plain ViT, whole or in windows; the windows of an image are one batch."""

    def __init__(self, network: DTopNetwork | SegVitNetwork, window_px: int, stride_px: int | None):
        self._network, self._recorder = network, PlainVitRecorder(network)
        self._window_px, self._stride_px = window_px, stride_px
        self.multiple = PAD_MULTIPLE_PX if stride_px is None else 1
        self.share, self.records, self.metrics = self._recorder.share, self._recorder.records, self._recorder.metrics

    def scores(self, pixels: Tensor, indices: Sequence[int]) -> Iterator[Tensor]:
        """See `SegmentationRunner`."""
        size, recorder = (pixels.shape[2], pixels.shape[3]), self._recorder
        if self._stride_px is None:
            scores, trace = self._network.segment(pixels)
            for row, index in enumerate(indices):
                recorder.add(index, trace, [row], size)
            yield from scores
            return
        for image, index in zip(pixels, indices, strict=True):
            windows, corners = cut_windows(image, self._window_px, self._stride_px)
            scores, trace = self._network.segment(windows)
            recorder.add(index, trace, range(len(corners)), (self._window_px, self._window_px))
            yield merge_windows(scores.float(), corners, self._window_px, size)


def make_runner(network: nn.Module, settings: RunSettings) -> SegmentationRunner:
    """The runner of a network that the settings describe."""
    if isinstance(network, SegmentationNetwork):
        return PyramidRunner(network, settings.model.name)
    assert isinstance(network, (DTopNetwork, SegVitNetwork))
    return PlainVitRunner(network, settings.segmentation.crop_px, settings.pruning.slide_stride_px)
