from __future__ import annotations

import pytest

from dit_bench.recipes.override import parse_overrides
from dit_bench.recipes.problems import RecipeError, leaves
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


def test_values_in_yaml_notation() -> None:
    texts = [
        "optimiser.lr=1e-3",
        "routing.columns=[1, 2, 3]",
        "optimiser.clip_grad_norm=null",
        "augment.rand_augment=rand-m9-mstd0.5-inc1",
        "data.root=/data/a=b",
        "routing.gate.detach_input=false",
        "optimiser.weight_decay=0",
    ]
    assert parse_overrides(texts) == {
        ("optimiser", "lr"): 0.001,
        ("routing", "columns"): [1, 2, 3],
        ("optimiser", "clip_grad_norm"): None,
        ("augment", "rand_augment"): "rand-m9-mstd0.5-inc1",
        ("data", "root"): "/data/a=b",
        ("routing", "gate", "detach_input"): False,
        ("optimiser", "weight_decay"): 0.0,
    }
    assert parse_overrides([]) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optimiser.lrr=1", "unknown key 'optimiser.lrr' — did you mean 'optimiser.lr'?"),
        ("optimizer.lr=1", "unknown key 'optimizer.lr' — did you mean 'optimiser.lr'?"),
        ("lr=1", "unknown key 'lr' — did you mean 'optimiser.lr' or 'pretraining.lr'?"),
        ("epohcs=1", "unknown key 'epohcs' — did you mean 'optimiser.epochs' or 'pretraining.epochs'?"),
        ("model.temperature=1", "did you mean 'routing.gate.temperature'?"),
        ("qqq=1", "unknown key 'qqq' — 'dit-bench show RECIPE' lists all keys"),
        ("=1", "unknown key ''"),
        ("dit/table7", "'dit/table7' is not of the form key=value"),
        ("routing.gate=1", "'routing.gate' is a group of settings — name one of routing.gate.normalise_input"),
        ("seed=1", "use the option --seed"),
        ("threads=2", "use --threads"),
        ("eval_batch_size=2", "use --eval-batch-size"),
        ("optimiser.lr=-1", "optimiser.lr = -1: must be greater than 0"),
        ("optimiser.lr=fast", "optimiser.lr = 'fast': must be a valid number"),
        ("optimiser.lr=nan", "optimiser.lr = 'nan': must be a valid number"),
        ("optimiser.lr=.nan", "not a finite number"),
        ("optimiser.lr=", "optimiser.lr = null: must be a valid number"),
        ("optimiser.epochs=1e2", "optimiser.epochs = 100.0: must be a valid integer"),
        ("routing.variant=dynamc", "did you mean 'dynamic'?"),
        ("routing.columns=[1, -2]", "routing.columns[1] = -2: must be greater than or equal to 0"),
        ("routing.columns=1", "routing.columns = 1: must be a valid list"),
        ("data.root=a: b", "data.root: a value or a list is expected, not a mapping"),
        ("data.root=[", "data.root: not valid YAML"),
        ("data.root=!!python/name:os.system x", "is not supported"),
    ],
)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_overrides([text])
    message = str(caught.value)
    assert message.startswith("command line: ")
    assert expected in message
    assert "\n" not in message


def test_same_key_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"optimiser\.lr is given twice"):
        parse_overrides(["optimiser.lr=1", "optimiser.lr=2"])


def test_every_slip_in_every_key_is_refused_with_the_right_name() -> None:
    known = set(leaves(RunSettings))
    for key in known:
        for at in range(len(key)):
            slip = key[:at] + key[at + 1 :]
            with pytest.raises(RecipeError) as caught:
                parse_overrides([f"{slip}=1"])
            if slip.rpartition(".")[2] not in RuntimeSettings.model_fields:
                assert f"'{key}'" in str(caught.value), str(caught.value)
