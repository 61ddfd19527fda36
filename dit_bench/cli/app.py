"""The command `dit-bench`: finds the verb, and turns every failure into one line and the right exit code."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import Any

import click

from dit_bench import __version__
from dit_bench.cli import several
from dit_bench.cli.console import say, say_error
from dit_bench.cli.options import debug_option
from dit_bench.errors import BenchError, DataError, InterruptedRunError, UsageError, exhausted_memory

# Verb: module, and the line that the overview shows without importing it.
VERBS = {
    "list": ("list", "Recipes, finished runs, or plug-ins."),
    "show": ("show", "A recipe fully resolved; all about a run; what stands behind a table's cell."),
    "diff": ("diff", "In what two runs differ, down to single images."),
    "train": ("train", "Train and evaluate rows of a recipe."),
    "eval": ("evaluate", "Accuracy, executed MACs, kept ratios and latency of trained rows."),
    "flops": ("flops", "Multiply-accumulates of rows, closed form and executed."),
    "bench": ("bench", "Latency and throughput: real beside ideal speed-up."),
    "ablate": ("ablate", "Run all rows of a recipe and print the paper's table beside ours."),
    "check": ("check", "Finished runs, counts and speed against committed baselines, for CI."),
    "plot": ("plot", "Routing of a picture, skipped tokens of a data set, accuracy against MACs."),
    "export": ("export", "The embedded digit scenes as files in ImageNet, COCO or ADE20K layout."),
    "completion": ("completion", "The script for shell completion."),
}
PROGRAM = "dit-bench"
INTERNAL_ERROR = 5
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of the operating system that can only come from writing."""


class ReaderLeftError(Exception):
    """Whoever read our standard output has closed it, as `head` does."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which people meet them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        if cmd_name not in VERBS:
            return None
        return importlib.import_module(f"dit_bench.cli.{VERBS[cmd_name][0]}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one is refused with the nearest right name."""
        if args and args[0] in VERBS and args[0] not in several.VERBS and several.count() > 1:
            raise UsageError(f"{args[0]} runs in one process, not in {several.count()}", remedy="leave out torchrun")
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            from dit_bench.recipes.suggest import did_you_mean

            raise UsageError(f"unknown verb '{args[0]}'", remedy=did_you_mean(args[0], VERBS))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb to the last byte of its output."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            # click would end the process with code 1, which here means a regression.
            raise ReaderLeftError from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in VERBS.items()])


@click.group(
    cls=LazyGroup,
    name=PROGRAM,
    subcommand_metavar="VERB [ARGUMENTS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=f"\b\nExample:\n  {PROGRAM} ablate dit/table6 --profile smoke",
)
@click.version_option(__version__, prog_name=PROGRAM)
@debug_option
def command() -> None:
    """Benchmark and reproduce vision transformers that route tokens dynamically.

    Exit codes: 0 ok, 1 regression, 2 usage or recipe, 3 data or weights, 4 interrupted but resumable, 5 internal.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code of the process; never raises but for shell completion."""
    if several.count() == 1:
        return _main(arguments)
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        nullcontext() if several.is_main() else redirect_stdout(nowhere),
    ):
        code = _main(arguments)
    if code == 0:
        from dit_bench.engine.distributed import leave

        leave()
    return code


def _main(arguments: Sequence[str] | None) -> int:
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    try:
        result = command.main(None if arguments is None else list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else PROGRAM
        say_error(f"{error.format_message()} — see '{path} --help'")
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("interrupted — what is finished is kept; the same command goes on from there")
        return InterruptedRunError.exit_code
    except BenchError as error:
        if debug:
            traceback.print_exc()
        say_error(str(error))
        return error.exit_code
    except (ReaderLeftError, BrokenPipeError):
        _forget_output()
        return 0
    except OSError as error:
        if error.errno not in UNWRITABLE:
            return _internal(error, debug)
        say_error(f"{error.filename or 'output'}: cannot be written: {error.strerror} — free some space")
        _forget_output()
        return DataError.exit_code
    except Exception as error:
        return _internal(error, debug)


def _internal(error: Exception, debug: bool) -> int:
    from dit_bench.plugins import blamed

    if debug:
        traceback.print_exception(error)
    if (exhausted := exhausted_memory(error)) is not None:
        say_error(str(exhausted))
        return exhausted.exit_code
    if (of_package := blamed(error)) is not None:
        say_error(str(of_package))
        return of_package.exit_code
    remedy = "" if debug else "; --debug shows where"
    say_error(f"internal: {type(error).__name__}: {error} — this is a defect of dit-bench{remedy}")
    return INTERNAL_ERROR


def _forget_output() -> None:
    """Drop what standard output still holds, so that Python does not try to write it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
