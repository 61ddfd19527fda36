"""`dit-bench completion`: the script that teaches a shell our verbs, recipes and rows."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dit_bench.cli.options import debug_option, example


@click.command("completion", epilog=example('eval "$(dit-bench completion bash)"'))
@click.argument("shell", metavar="[bash|zsh|fish]", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of SHELL; evaluate it in the shell's start-up file."""
    program = context.find_root().info_name or "dit-bench"
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    completion_class = get_completion_class(shell)
    assert completion_class is not None
    click.echo(completion_class(context.find_root().command, {}, program, variable).source())
