"""Evaluation protocols: the crop, and nothing else."""

import pytest

from dit_bench.cli.evaluate import PROTOCOL_CHOICES
from dit_bench.data.transforms import PAPERS_PREPROCESSING
from dit_bench.engine.protocols import PROTOCOLS, ProtocolName, preprocessing_of, under_protocol
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings, ModelSettings, RoutingSettings, RunSettings


def settings_of(model: str, **data: object) -> RunSettings:
    return RunSettings(
        model=ModelSettings(name=model),
        routing=RoutingSettings(variant="diagonal"),
        data=DataSettings.model_validate({"dataset": "imagenet", "eval_crop_fraction": 0.5, **data}),
    )


@pytest.mark.parametrize(
    ("protocol", "model", "fraction"),
    [
        ("deit", "pvt_v2_b2", 0.875),
        ("deit", "pvt_v2_nano", 0.875),
        ("deit", "resnet18", 0.875),
        ("timm", "pvt_v2_b2", 0.9),
        ("timm", "resnet18", 0.95),
        ("timm", "dit_b2", 0.875),
    ],
)
def test_a_protocol_sets_the_crop_fraction_alone(protocol: ProtocolName, model: str, fraction: float) -> None:
    before = settings_of(model)
    after = under_protocol(before, protocol)
    assert after.data.eval_crop_fraction == fraction
    back = after.data.model_copy(update={"eval_crop_fraction": 0.5})
    assert after.model_copy(update={"data": back}) == before


def test_weights_of_timm_get_what_their_model_was_trained_with() -> None:
    assert preprocessing_of(settings_of("vit_base_patch16_224"), "timm").mean == (0.5, 0.5, 0.5)
    assert preprocessing_of(settings_of("tnt_b_patch16_224"), "timm").std == (0.5, 0.5, 0.5)
    for protocol in ("deit", None):
        assert preprocessing_of(settings_of("vit_base_patch16_224"), protocol) == PAPERS_PREPROCESSING
    assert preprocessing_of(settings_of("pvt_v2_b2"), "timm") == PAPERS_PREPROCESSING


def test_digit_scenes_have_no_crop() -> None:
    with pytest.raises(UsageError, match=r"--protocol deit: data\.dataset is digit_scenes"):
        under_protocol(settings_of("pvt_v2_b2", dataset="digit_scenes"), "deit")


def test_a_model_that_timm_does_not_configure_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--protocol timm: pvt_v2_nano has no default") as caught:
        under_protocol(settings_of("pvt_v2_nano"), "timm")
    assert caught.value.remedy is not None
    assert "deit" in caught.value.remedy
    with pytest.raises(UsageError, match="pvt_v2_b9"):
        under_protocol(settings_of("pvt_v2_b9"), "timm")


def test_the_command_line_offers_all_protocols() -> None:
    assert PROTOCOL_CHOICES == PROTOCOLS
