"""Counting one model by name, module by module, and auditing counts against other counters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dit_bench.cost.audit import AuditLine, audit
from dit_bench.cost.census import Census
from dit_bench.cost.conventions import CONVENTIONS, convention_macs
from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import Grid
from dit_bench.cost.tree import ModuleNode, macs_by_kind, module_tree
from dit_bench.engine.build import build_model, routing_options
from dit_bench.engine.counting import NUM_CLASSES, counted_classes, fixed_paths, meta_census, meta_model, row_costs
from dit_bench.errors import UsageError
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.zoo import default_image_size, is_routed, model_names
from dit_bench.recipes.load import load_recipe
from dit_bench.recipes.names import recipe_names
from dit_bench.recipes.resolve import ResolvedRow, resolve_rows
from dit_bench.recipes.settings import ModelSettings, RoutingSettings, RunSettings
from dit_bench.recipes.suggest import did_you_mean

ROUTED_AUDIT_SEED = 0


@dataclass(frozen=True)
class PrintedRow:
    """A row of a shipped recipe that prints the cost of a model."""

    recipe: str
    row_id: str
    gmacs: float
    convention: str


@dataclass(frozen=True)
class ModelCount:
    """The cost of one model for one image."""

    name: str
    image_size: Grid
    census: Census
    paths: dict[str, int]
    """MACs of the fixed paths of a routed model, whose census is that of the fully connected one; else empty."""
    printed: tuple[PrintedRow, ...]

    @property
    def params(self) -> int:
        """Values in all parameters."""
        return self.census.params

    @property
    def macs(self) -> dict[str, int]:
        """MACs by convention."""
        return {name: convention_macs(self.census, convention) for name, convention in CONVENTIONS.items()}

    @property
    def descriptions(self) -> dict[str, str]:
        """What each convention counts."""
        return {name: convention.description for name, convention in CONVENTIONS.items()}

    @property
    def by_kind(self) -> dict[str, int]:
        """MACs of matrix products by kind of layer."""
        return {str(kind): macs for kind, macs in macs_by_kind(self.census).items()}

    @property
    def closed_form_macs(self) -> int:
        """What our formulas give."""
        return self.census.closed_form_macs

    @property
    def dispatched_macs(self) -> int:
        """What torch dispatched."""
        return self.census.dispatched_macs

    def tree(self, depth: int | None = None) -> ModuleNode:
        """The modules with rolled-up totals."""
        return module_tree(self.census, depth)


def check_model_or_recipe(name: str) -> None:
    """Raise UsageError, with the nearest names of both kinds, for what is neither a recipe nor a model."""
    recipes, models = recipe_names(), model_names()
    if name in recipes or name in models:
        return
    raise UsageError(f"'{name}' is neither a recipe nor a model", remedy=did_you_mean(name, [*recipes, *models]))


def count_model(name: str, image_size: Grid | None = None) -> ModelCount:
    """Count a model at its own input size, or at (height, width), on the meta device.

    A routed model is counted with every gate open, beside the closed form of its fixed paths. Raises UsageError for an
    input that the model cannot take.
    """
    size = image_size or default_image_size(name)
    paths: dict[str, int] = {}
    if is_routed(name):
        settings = RunSettings(model=ModelSettings(name=name), routing=RoutingSettings(variant="fully"))
        model = meta_model(name, None, size, routing=routing_options(settings.routing))
        assert isinstance(model, DiT)
        paths = fixed_paths(model, size)
    else:
        model = meta_model(name, None, size)
    return ModelCount(name, size, meta_census(model, name, size), paths, _printed_rows(name))


def audit_model(count: ModelCount) -> list[AuditLine]:
    """Every installed counter on a counted model."""
    return _audit(count.name, count.image_size, None)


def audit_row(row: ResolvedRow, image_size: Grid | None = None) -> list[AuditLine]:
    """Every installed counter on a recipe's row; a row that cannot be counted says why."""
    costs = row_costs(row, image_size)
    if costs.problem:
        return [AuditLine("dit-bench", None, None, None, (), costs.problem)]
    num_classes = counted_classes(row.settings)
    if is_routed(row.settings.model.name):
        return audit_routed(row.settings, costs.image_size, num_classes)
    return _audit(row.settings.model.name, costs.image_size, num_classes)


def _audit(name: str, image_size: Grid, num_classes: int | None) -> list[AuditLine]:
    if is_routed(name):
        settings = RunSettings(model=ModelSettings(name=name))
        return audit_routed(settings, image_size, NUM_CLASSES["imagenet"])

    def build() -> nn.Module:
        return meta_model(name, num_classes, image_size)

    return audit(build, [torch.zeros(1, 3, *image_size)])


def audit_routed(settings: RunSettings, image_size: Grid, num_classes: int) -> list[AuditLine]:
    """The ledger of one image beside what the packed execution dispatched for it.

    Weights and image are random with a fixed seed: what is checked is the count, whatever the route.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(ROUTED_AUDIT_SEED)
        model = build_model(settings, num_classes).eval()
        image = torch.randn(1, 3, *image_size)
        assert isinstance(model, DiT)
        for gate in model.gates():
            # Gates start by keeping nearly everything; even odds exercise the packed execution.
            gate.exercise()
    with torch.no_grad():
        _, trace = model(image, with_trace=True)
    ours = int(Ledger.read(trace, model.costs(image_size)).macs[0])
    dispatched = counted_macs(lambda: model(image))
    reason = (
        "data-dependent: a hook or a trace sees one image, or everything that is masked; see the ledger's line instead"
    )
    return [
        AuditLine("dit-bench, ledger of one random image", None, ours, 0, ()),
        AuditLine(
            "torch FlopCounterMode / 2, packed execution, CPU", torch.__version__, dispatched, dispatched - ours, ()
        ),
        AuditLine("fvcore", None, None, None, (), reason),
        AuditLine("ptflops", None, None, None, (), reason),
    ]


def _printed_rows(name: str) -> tuple[PrintedRow, ...]:
    """Rows of the shipped recipes that print a cost of the model at its published input size."""
    found = []
    for recipe in recipe_names():
        loaded = load_recipe(recipe)
        for row in resolve_rows(loaded, [], "paper"):
            printed = row.row.printed.gmacs
            if row.settings.task != "classification":
                continue  # its cost is that of a whole detector
            if row.settings.model.name == name and printed is not None and not is_routed(name):
                found.append(PrintedRow(recipe, row.row.id, printed, row.row.convention))
    return tuple(found)
