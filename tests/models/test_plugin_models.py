"""Models of other packages in the zoo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from dit_bench.engine.accounting import Accounts
from dit_bench.engine.build import build_model, check_model_name
from dit_bench.engine.model_counts import count_model
from dit_bench.errors import UsageError
from dit_bench.models.pyramid.backbones import build_backbone
from dit_bench.models.zoo import create, model_names, plugin_model
from dit_bench.plugins import PluginError
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings

MakePackage = Callable[..., str]
EARLY_EXIT = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, image_size):
        super().__init__()
        self.easy, self.hard = nn.Linear(3, num_classes), nn.Conv2d(3, num_classes, 4, stride=4)

    def forward(self, images):
        means = images.mean(dim=(2, 3))
        logits = self.easy(means)
        hard = means.sum(dim=1) > 0
        if hard.any():
            logits[hard] = self.hard(images[hard]).mean(dim=(2, 3))
        return logits
"""


def settings(name: str, **model: float) -> RunSettings:
    return RunSettings(
        model=ModelSettings(name=name, **model),  # type: ignore[arg-type]
        routing=RoutingSettings(variant="diagonal"),
    )


def test_a_model_is_made_for_classes_and_input(example_package: Path) -> None:
    assert "tiny_cnn" in model_names()
    model = build_model(settings("tiny_cnn"), 7)
    assert tuple(model(torch.zeros(2, 3, 64, 64)).shape) == (2, 7)


def test_its_cost_is_what_it_dispatches(example_package: Path) -> None:
    count = count_model("tiny_cnn", (64, 64))
    # 3x3 convolutions from 3 to 8 channels on 16x16 and from 8 to 16 on 8x8; a classifier of 1000 classes.
    assert count.census.macs == 16 * 16 * 8 * 27 + 8 * 8 * 16 * 72 + 16 * 1000
    assert count.dispatched_macs == count.census.macs


def test_dropout_is_asked_for_only_where_a_recipe_wants_it(example_package: Path) -> None:
    assert isinstance(build_model(settings("tiny_cnn", drop_rate=0.0), 7), nn.Module)
    with pytest.raises(
        PluginError, match=r"example 0\.1\.0 .*tiny_cnn\): TypeError: .*unexpected keyword argument 'dr"
    ):
        build_model(settings("tiny_cnn", drop_rate=0.1), 7)


@pytest.mark.parametrize(("name", "owner"), [("resnet18", "timm"), ("dit_nano", "dit-bench")])
def test_a_name_with_two_origins_is_refused(make_package: MakePackage, name: str, owner: str) -> None:
    assert plugin_model(name) is None
    make_package("rival", "def make(): ...", models={name: "make"})
    with pytest.raises(UsageError, match=rf"model '{name}' has several origins: {owner} and rival 1\.2\.3"):
        check_model_name(name)


def test_a_misspelt_name_finds_theirs(example_package: Path) -> None:
    with pytest.raises(UsageError) as refusal:
        check_model_name("tiny_cn")
    assert refusal.value.remedy == "did you mean 'tiny_cnn'?"


def test_what_is_no_module_is_refused(make_package: MakePackage) -> None:
    make_package("text", "def make(num_classes, image_size): return 'net'", models={"text": "make"})
    with pytest.raises(PluginError, match=r"it returned str, not a torch\.nn\.Module"):
        create("text", num_classes=2, image_size=(32, 32))


def test_a_model_that_cannot_be_imported_is_refused_by_name_check(make_package: MakePackage) -> None:
    make_package("unripe", "import nowhere_to_be_found", models={"unripe": "make"})
    with pytest.raises(PluginError, match="No module named 'nowhere_to_be_found'"):
        check_model_name("unripe")


def test_a_model_whose_work_depends_on_the_image_is_counted_image_by_image(make_package: MakePackage) -> None:
    make_package("early", EARLY_EXIT, models={"early_exit": "Net"})
    torch.manual_seed(0)
    model = build_model(settings("early_exit"), 5).eval()
    images = torch.stack([torch.full((3, 8, 8), value) for value in (-1.0, 1.0, -2.0)])
    with torch.no_grad():
        logits, ledger = Accounts.of(model, settings("early_exit"), (8, 8), 5).run(model, images)
        assert torch.equal(logits, model(images))
    easy, hard = 3 * 5, 3 * 5 + 2 * 2 * 5 * 48
    assert ledger.macs.tolist() == [easy, hard, easy]
    with pytest.raises(UsageError, match="what it computes depends on the image"):
        count_model("early_exit", (8, 8))


def test_a_model_with_timms_features_is_a_backbone(make_package: MakePackage) -> None:
    text = (
        "import timm\ndef make(num_classes, image_size): return timm.create_model('resnet18', num_classes=num_classes)"
    )
    make_package("pyramids", text, models={"their_resnet": "make"})
    backbone = build_backbone("their_resnet").eval()
    maps, trace = backbone(torch.zeros(1, 3, 64, 64))
    assert trace is None
    assert [tuple(cells.shape[1:]) for cells in maps] == [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512, 2, 2)]
    flat = "from torch import nn\ndef make(num_classes, image_size): return nn.Flatten()"
    make_package("flat", flat, models={"flat": "make"})
    with pytest.raises(UsageError, match=r"model\.name=flat has no maps of strides 4, 8, 16, 32"):
        build_backbone("flat")
