"""Total and valid parameters: the paper's "#Param denotes the quantity of valid parameters utilized" (Table 1)."""

from __future__ import annotations

import re

import numpy as np

from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT


def valid_parameters(model: DiT, ledger: Ledger) -> int:
    """Parameters of the nodes that at least one image of the ledger used, with stem, norms and classifier.

    A stage is used where a token was kept, a patch embedding where it ran, a gate where its scale was live.
    """
    stage_used = np.any(ledger.kept > 0, axis=0)
    embed_used, scale_live = np.any(ledger.columns, axis=0), np.any(ledger.live, axis=0)
    # Column M has no stage; whatever is live at the last stage is still live there.
    last = model.grid.num_stages - 1

    def used(name: str) -> bool:
        node = re.match(r"grid\.(stages|embeds|rows\.gates|columns\.gates)\.(\d)_(\d)\.", name)
        if node is None:
            return True
        scale, stage = int(node[2]), int(node[3])
        if node[1] == "stages":
            return bool(stage_used[scale, stage])
        if node[1] == "embeds":
            return bool(embed_used[scale, stage])
        return bool(scale_live[scale, min(stage, last)])

    return sum(parameter.numel() for name, parameter in model.named_parameters() if used(name))
