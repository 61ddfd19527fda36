"""Censuses of well-known networks on the meta device, each taken once per session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import timm
import torch
import torchvision
from timm.models.vision_transformer import VisionTransformer

from dit_bench.cost.census import Census, take_census

FIRST_VIT_SMALL = "ViT-Small of timm 0.3.2"


@pytest.fixture(scope="session")
def census_of() -> Callable[..., Census]:
    """(name, library, height=, width=, batch=) to a census; `FIRST_VIT_SMALL` is what older papers mean by the name."""

    @cache
    def census(name: str, library: str = "timm", *, height: int = 224, width: int = 224, batch: int = 1) -> Census:
        with torch.device("meta"):
            if name == FIRST_VIT_SMALL:
                model = VisionTransformer(embed_dim=768, depth=8, num_heads=8, mlp_ratio=3, qkv_bias=False)
            else:
                create = timm.create_model if library == "timm" else torchvision.models.get_model
                model = create(name)
            return take_census(model, torch.zeros(batch, 3, height, width))

    return census
