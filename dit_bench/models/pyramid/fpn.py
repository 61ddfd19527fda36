"""The feature pyramid network of every detector here, as mmdetection builds it.

Unlike torchvision's, the source of the levels beyond the backbone's is a choice, and nothing is rectified before P7.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

ExtraLevels = Literal["none", "pool", "conv_on_input", "conv_on_output"]
"""Levels beyond the backbone's: none; the last one subsampled; 3x3 stride-2 convolutions, the first of them on the
backbone's last map (RetinaNet) or on the last level's output (ATSS, GFL)."""


class FeaturePyramid(nn.Module):
    """Top-down pyramid over the backbone's maps (FPN, arXiv 1612.03144).

    1x1 laterals, nearest top-down sums, 3x3 outputs; biases, no norms, no activations.
    """

    def __init__(
        self, widths: list[int], *, start_level: int, num_outputs: int, extra: ExtraLevels, out_channels: int = 256
    ):
        super().__init__()
        used = widths[start_level:]
        num_extra = num_outputs - len(used)
        assert extra in get_args(ExtraLevels), f"extra={extra!r}"
        assert num_extra == 0 if extra == "none" else num_extra > 0, f"{num_outputs} outputs with extra={extra!r}"
        self.start_level, self.num_outputs, self.extra, self.out_channels = (
            start_level,
            num_outputs,
            extra,
            out_channels,
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in used)
        self.outputs = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in used)
        num_convs = num_extra if extra in ("conv_on_input", "conv_on_output") else 0
        sources = [used[-1] if extra == "conv_on_input" else out_channels, *[out_channels] * num_convs][:num_convs]
        self.extra_convs = nn.ModuleList(nn.Conv2d(width, out_channels, 3, stride=2, padding=1) for width in sources)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """`num_outputs` levels `(B, out_channels, H_l, W_l)`, finest first, from the backbone's maps."""
        used = maps[self.start_level :]
        assert len(used) == len(self.laterals), f"{len(maps)} maps"
        summed = [lateral(feature) for lateral, feature in zip(self.laterals, used, strict=True)]
        for level in range(len(summed) - 1, 0, -1):
            below = summed[level - 1]
            # To the lateral's size: grids of odd sides are not exactly halved.
            summed[level - 1] = below + functional.interpolate(summed[level], size=below.shape[-2:], mode="nearest")
        levels = [conv(feature) for conv, feature in zip(self.outputs, summed, strict=True)]
        if self.extra == "pool":
            while len(levels) < self.num_outputs:
                levels.append(functional.max_pool2d(levels[-1], 1, stride=2))
        source = used[-1] if self.extra == "conv_on_input" else levels[-1]
        for conv in self.extra_convs:
            source = conv(source)
            levels.append(source)
        return levels
