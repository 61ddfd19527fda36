"""How much each node of the routing space skips over a data set, from the per-image records of a run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SkipStatistics:
    """What Figure 4 shows, for N scales and M stages; all shares lie between 0 and 1.

    `skip_ratio` (N, M): share of the scale's tokens that the stage skipped, mean over the images in which the scale
    was live; NaN where it never was. `skip_sd` (N, M): its SD over those images, NaN for fewer than two.
    `live` (N, M): share of images in which the scale was live when the stage ran. `column_open` (N-1, M+1): share of
    images whose column gate was open. `title` names the data set, `num_images` its size.
    """

    skip_ratio: "np.ndarray"
    skip_sd: "np.ndarray"
    live: "np.ndarray"
    column_open: "np.ndarray"
    title: str
    num_images: int


def skip_statistics(
    kept: "np.ndarray", tokens: "np.ndarray", live: "np.ndarray", columns: "np.ndarray", *, title: str
) -> SkipStatistics:
    """Statistics over n images from the arrays of a run's `records.npz`.

    `kept` (n, N, M) kept tokens, `tokens` (N,) or (n, N) tokens per scale, `live` bool (n, N, M), `columns` bool
    (n, N-1, M+1). Images of several runs may be concatenated; the SD is then over all of them.
    """
    import numpy as np

    images, scales, stages = kept.shape
    assert images > 0, "no images"
    assert live.shape == kept.shape, f"live {live.shape} against kept {kept.shape}"
    assert columns.shape == (images, scales - 1, stages + 1), f"columns {columns.shape} against kept {kept.shape}"
    totals = np.broadcast_to(tokens, (images, scales))[:, :, None]
    assert not kept[~live].any(), "tokens are kept on a scale that is not live"

    counts = live.sum(axis=0)
    skipped = np.where(live, 1.0 - kept / totals, 0.0)
    ratio = np.full((scales, stages), np.nan)
    np.divide(skipped.sum(axis=0), counts, out=ratio, where=counts > 0)
    squares = np.where(live, (skipped - np.nan_to_num(ratio)) ** 2, 0.0).sum(axis=0)
    variance = np.full((scales, stages), np.nan)
    np.divide(squares, counts - 1, out=variance, where=counts > 1)
    return SkipStatistics(ratio, np.sqrt(variance), live.mean(axis=0), columns.mean(axis=0), title, images)
