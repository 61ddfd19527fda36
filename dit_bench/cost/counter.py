"""Count what torch really dispatched, as the audit of the closed forms.

torch's counter reports two FLOPs per MAC and, in the releases that we support, knows no formula for the attention
kernel that the CPU uses: it counted that attention as free. The formula is added here, for the count only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def _cpu_attention_flops(query: Any, key: Any, value: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


_cpu_attention_flops._get_raw = True  # type: ignore[attr-defined] - the counter then passes tensors, not shapes
_MISSING_FORMULAS = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops}


def counted_macs(run: Callable[[], object]) -> int:
    """MACs of all matrix products, convolutions and attention kernels that `run` dispatches."""
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING_FORMULAS)
    with torch.no_grad(), counter:
        run()
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2
