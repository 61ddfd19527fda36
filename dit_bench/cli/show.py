"""`dit-bench show`: a recipe fully resolved, with the origin of every value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dit_bench.cli.console import print_json, print_table
from dit_bench.cli.options import debug_option, example, json_option, selection

if TYPE_CHECKING:
    from dit_bench.recipes.resolve import ResolvedRow


@click.command("show", epilog=example("dit-bench show dit/table6 --row dynamic --profile mini optimiser.lr=1e-3"))
@selection
@json_option
@debug_option
def command(rows: list[ResolvedRow], as_json: bool) -> None:
    """Show every setting of RECIPE's rows and where its value comes from, and the figures that the paper prints.

    RECIPE is a short name such as dit/table6 or the path of a YAML file.
    """
    from dit_bench.recipes.describe import described, described_json

    recipe, profile = rows[0].recipe, rows[0].profile
    if as_json:
        data = {"recipe": recipe.name, "title": recipe.recipe.title, "profile": profile}
        print_json({**data, "rows": [described_json(row) for row in rows]})
        return
    lines = [(row.row.id, *line) for row in rows for line in described(row)]
    print_table(f"{recipe.recipe.title}, profile {profile}", ("row", "key", "value", "origin"), lines)
