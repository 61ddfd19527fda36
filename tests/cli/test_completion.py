from __future__ import annotations

import pytest
from click.shell_completion import BashComplete

from dit_bench.cli.app import VERBS, command, main
from dit_bench.recipes.names import recipe_names


def _completions(arguments: list[str], incomplete: str) -> list[str]:
    completer = BashComplete(command, {}, "dit-bench", "_DIT_BENCH_COMPLETE")
    return [item.value for item in completer.get_completions(arguments, incomplete)]


def test_verbs_recipes_rows_and_profiles() -> None:
    assert _completions([], "") == list(VERBS)
    for verb in ("train", "eval", "flops", "bench", "ablate", "show"):
        assert _completions([verb], "dit/t") == [f"dit/table{n}" for n in range(1, 9)]
        assert _completions([verb, "dit/table6", "--row"], "") == ["static", "dynamic", "fully"]
        assert _completions([verb, "dit/table6", "--row", "static", "--row"], "d") == ["dynamic"]
        assert _completions([verb, "dit/table6", "--profile"], "s") == ["smoke"]
    kinds = ["routing", "skips", "tradeoff", "curves", "growth", "detections", "segments", "pruning"]
    assert _completions(["plot"], "") == kinds
    assert _completions(["plot"], "dit/f") == ["dit/fig3", "dit/fig4", "dit/fig4_detection"]
    assert _completions(["plot", "routing"], "") == recipe_names()
    assert _completions(["plot", "routing", "dit/table7", "--row"], "a") == ["attention"]


def test_nothing_to_offer_is_no_error() -> None:
    assert _completions(["train", "dit/nothing", "--row"], "") == []
    assert _completions(["train", "--row"], "") == []


def test_files_are_offered_when_a_path_is_typed() -> None:
    completer = BashComplete(command, {}, "dit-bench", "_DIT_BENCH_COMPLETE")
    assert [(item.type, item.value) for item in completer.get_completions(["train"], "./own")] == [("file", "./own")]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_our_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert f"_DIT_BENCH_COMPLETE={shell}_complete" in out
    assert "dit-bench" in out


def test_the_program_answers_the_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_DIT_BENCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "dit-bench train dit/table8 --row ")
    monkeypatch.setenv("COMP_CWORD", "4")
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    words = capsys.readouterr().out.splitlines()
    assert words == ["plain,neither", "plain,scale", "plain,depth", "plain,both"]
