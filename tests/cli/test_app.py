from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable

import click
import pytest

from dit_bench import errors
from dit_bench.cli import app
from dit_bench.cli.app import VERBS, main
from dit_bench.cli.options import PROFILE_CHOICES
from dit_bench.recipes.schema import PROFILES

HEAVY = ("torch", "timm", "torchvision", "sklearn", "matplotlib", "scipy", "tensorboard", "pandas")
IMPORTED = "import sys, json; from dit_bench.cli.app import main; code = main(sys.argv[1:]); sys.stdout.flush(); "
IMPORTED += f"print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)"


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the verb `list` raise."""

    def replace(error: BaseException) -> None:
        @click.command()
        @click.option("--debug", is_flag=True, expose_value=False)
        def failing() -> None:
            raise error

        monkeypatch.setattr(app.LazyGroup, "get_command", lambda self, context, name: failing)

    return replace


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_of_every_verb_has_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: dit-bench {arguments[0] if len(arguments) > 1 else ''}")
    assert "Example:" in out
    assert "dit-bench " in out.partition("Example:")[2]
    assert "\\b" not in out
    assert err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["train", "--help"],
        ["list"],
        ["list", "--json"],
        ["list", "--runs", "--results", "no-such-folder"],
        ["show", "dit/table8"],
    ],
    ids=" ".join,
)
def test_light_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == [0, []]


@pytest.mark.parametrize("verb", ["train", "eval", "flops", "bench", "ablate"])
def test_typos_are_refused_before_torch_is_imported(verb: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, verb, "dit/table6", "optimiser.lrr=1"],
        capture_output=True,
        text=True,
        check=True,
    )
    message, imported = done.stderr.splitlines()
    assert message == "error: command line: unknown key 'optimiser.lrr' — did you mean 'optimiser.lr'?"
    assert json.loads(imported) == [2, []]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["lits"], "unknown verb 'lits' — did you mean 'list'?"),
        (["show", "dit/tabel6"], "unknown recipe 'dit/tabel6' — did you mean 'dit/table6'?"),
        (["show", "dit/table6", "--row", "fuly"], "unknown row 'fuly' — did you mean 'fully'?"),
        (["show", "dit/table6", "--profile", "mimi"], "unknown profile 'mimi' — did you mean 'mini'?"),
        (["show", "dit/table6", "routing.variant=fuly"], "did you mean 'fully'?"),
        (["show", "dit/table6", "--seed", "-1"], "Invalid value for '--seed'"),
        (["show"], "Missing argument 'RECIPE|RUN|TABLE'. — see 'dit-bench show --help'"),
        (["train", "dit/table6", "--rwo", "x"], "No such option '--rwo'"),
        (["train", "dit/table6", "--threads", "0"], "Invalid value for '--threads'"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["plot", "routng"], "unknown figure 'routng' — did you mean 'routing'?"),
        (["plot", "dit/table6"], "no recipe of kind figure"),
        (["plot", "routing", "dit/tabel6"], "did you mean 'dit/table6'?"),
        (["plot", "dit/fig3", "dit/table6"], "one too many"),
        (["plot", "skips", "optimiser.lrr=1"], "did you mean 'optimiser.lr'?"),
    ],
)
def test_wrong_usage_ends_with_2_and_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.RegressionError("drift"), 1),
        (errors.UsageError("bad"), 2),
        (errors.DataError("missing"), 3),
        (errors.WeightsError("of another model"), 3),
        (errors.InterruptedRunError("stopped"), 4),
        (errors.NonFiniteLossError("nan"), 5),
        (ValueError("a defect"), 5),
        (KeyboardInterrupt(), 4),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 3),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_codes(
    error: BaseException, code: int, raising: Callable[[BaseException], None], capfd: pytest.CaptureFixture[str]
) -> None:
    raising(error)
    assert main(["list"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_interruption_says_how_to_go_on(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(KeyboardInterrupt())
    main(["list"])
    assert "interrupted — what is finished is kept; the same command goes on from there" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "list"], ["list", "--debug"]], ids=" ".join)
def test_debug_shows_the_traceback_of_a_defect(
    arguments: list[str], raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(ZeroDivisionError("x"))
    assert main(arguments) == 5
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.strip().splitlines()[-1].startswith("error: internal: ZeroDivisionError: x")


def test_messages_are_one_plain_line_whatever_they_hold(
    raising: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    raising(errors.DataError("[bold]a[/nothing] file\n  [1, 2]", remedy="look\nthere"))
    assert main(["list"]) == 3
    assert capsys.readouterr().err == "error: [bold]a[/nothing] file [1, 2] — look there\n"


def test_a_reader_that_leaves_is_no_failure() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dit_bench", "show", "dit/table8"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_profiles_of_the_command_line_are_those_of_the_schema() -> None:
    assert PROFILE_CHOICES == PROFILES


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "dit-bench" in capsys.readouterr().out
