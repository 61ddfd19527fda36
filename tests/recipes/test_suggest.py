from __future__ import annotations

import pytest

from dit_bench.recipes.suggest import did_you_mean, nearest

KEYS = ["lr", "min_lr", "eps", "epochs", "beta1", "beta2", "weight_decay", "id"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("l", ["lr"]),
        ("rl", ["lr"]),
        ("xr", ["lr"]),
        ("di", ["id"]),
        ("epsx", ["eps"]),
        ("EPOCHS", ["epochs"]),
        ("beta", ["beta1", "beta2"]),
        ("wieght_deacy", ["weight_decay"]),
        ("momentum", []),
        ("", []),
    ],
)
def test_nearest_names(word: str, expected: list[str]) -> None:
    assert nearest(word, KEYS) == expected


def test_remedy_names_the_nearest_or_lists_a_few() -> None:
    assert did_you_mean("beta", KEYS) == "did you mean 'beta1' or 'beta2'?"
    assert did_you_mean("qqqq", ["b", "a"]) == "known: b, a"
    assert did_you_mean("qqqq", [f"name{index}" for index in range(40)]) is None
    assert did_you_mean("qqqq", []) is None
