"""How far a figure may move from its baseline before a check fails: what stands under `check:` in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from dit_bench.recipes.metrics import METRIC_NAMES, is_time
from dit_bench.recipes.strict import Strict

Percentage = Annotated[float, Field(ge=0.0, le=100.0)]
"""Metrics that no check compares: times are only compared as ratios of one process, under the key `speed`."""


class Tolerance(Strict):
    """How one metric is compared.

    exact: equal to the last digit as stored, seed by seed. seeds: the means over the seeds may differ by `allowed`, or
    by less than their noise; a difference beyond `limit` fails whatever the noise, and is all that one seed can show.
    ignore: not compared, unless both runs ended in the same weights, after which everything must be equal.
    """

    kind: Literal["exact", "seeds", "ignore"]
    allowed: Percentage | None = None
    limit: Percentage | None = None
    unit: Literal["points", "percent"] = "points"
    """Of `allowed` and `limit`: that of the metric itself (percentage points of an accuracy), or per cent of the
    baseline."""
    better: Literal["higher", "lower"] | None = None
    """Of a figure that another package gives; without it a move in either direction is for the worse."""

    @model_validator(mode="after")
    def _kind_fits(self) -> Tolerance:
        if self.kind != "seeds":
            if self.model_fields_set - {"kind"}:
                raise ValueError(
                    f"kind '{self.kind}' takes no further keys; 'seeds' has allowed, limit, unit and better"
                )
        elif self.allowed is None or self.limit is None:
            raise ValueError("kind 'seeds' needs the keys 'allowed' and 'limit'")
        elif self.limit < self.allowed:
            raise ValueError(f"limit = {self.limit} is smaller than allowed = {self.allowed}")
        return self


class SpeedTolerance(Strict):
    """When a network became slower, from its time over that of a reference in the same rounds of one process.

    Both must hold: the change of the median exceeds `threshold_percent`, and Mann-Whitney's test gives less than `p`.
    """

    threshold_percent: Annotated[float, Field(gt=0.0, le=100.0)] = 5.0
    p: Annotated[float, Field(gt=0.0, le=0.05)] = 0.002
    """Two-sided."""
    across_machines: bool = False
    """Also compare with a baseline that another processor, accelerator or number of threads gave."""


if TYPE_CHECKING:

    class Check(Strict):
        """Tolerances by metric, named as in `recipes.metrics.MetricName`; those that are not given keep the default."""

        speed: SpeedTolerance | None = None
        plugins: dict[str, Tolerance] = {}  # noqa: RUF012 - pydantic copies defaults
        """Of figures that metrics of other packages give, by their names."""
else:
    _FIELDS: dict[str, Any] = {name: (Tolerance | None, None) for name in METRIC_NAMES if not is_time(name)}
    _FIELDS |= {"speed": (SpeedTolerance | None, None), "plugins": (dict[str, Tolerance], {})}
    Check = create_model("Check", __base__=Strict, **_FIELDS)

NOTHING_CHANGED = Check()


def given_tolerances(check: Check) -> dict[str, Tolerance]:
    """The metrics that a `check:` section speaks of."""
    named = ((name, getattr(check, name)) for name in METRIC_NAMES if not is_time(name))
    return {name: tolerance for name, tolerance in named if tolerance is not None} | check.plugins
