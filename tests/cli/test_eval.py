"""`dit-bench eval` on an ImageNet folder: official weights, protocols, classes, files."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from dit_bench.cli.app import main

Weights = dict[str, torch.Tensor]
Run = Callable[..., tuple[int, str, str]]
ROW = ["dit/table8", "--row", "neither", "--profile", "mini"]
TWO_THIRDS = "66.67"


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr("dit_bench.engine.latency.LATENCY_IMAGES", 1)
    monkeypatch.setenv("DIT_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def official(tmp_path: Path, colour_weights: Weights, as_imagenet_classifier: Callable[..., Weights]) -> Path:
    """A PyTorch checkpoint as training scripts leave it, with a classifier of ImageNet's classes."""
    path = tmp_path / "official.pth"
    torch.save({"model": as_imagenet_classifier(colour_weights), "epoch": 299}, path)
    return path


@pytest.fixture
def evaluate(synset_folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(weights: Path, *arguments: str, root: Path = synset_folder) -> tuple[int, str, str]:
        settings = ["model.name=pvt_v2_nano", "data.dataset=imagenet", f"data.root={root}"]
        return outcome(capsys, "eval", *ROW, "--checkpoint", str(weights), *arguments, *settings, "--device", "cpu")

    return run


def lines_of(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_official_weights_on_a_part_of_imagenet(evaluate: Run, official: Path) -> None:
    code, out, err = evaluate(official)
    assert (code, err) == (0, "")
    headings, *lines = lines_of(out)
    assert headings == ["row", "figure", "value"]
    assert {line[0] for line in lines} == {f"neither {official}"}
    figures = {name: value for _, name, value in lines}
    assert figures["evaluated"] == "val, the recipe's evaluation: crop fraction 0.875, bicubic, input 64x64"
    assert figures["classes"] == "10 of 1000 classes, 30 images, numbered by synset as in ImageNet"
    assert figures["top-1 (%)"] == figures["top-1 (%) choosing among the 10 classes present"] == TWO_THIRDS
    assert figures["printed top-1 (%)"].startswith(
        "82.0; ours − printed −15.33; not comparable: not ImageNet's full validation set: 10 of 1000 classes, 30 of"
    )
    assert figures["MACs relative to PVTv2"] == "1.0000"


def test_protocols_are_columns_of_the_records(tmp_path: Path, synset_folder: Path) -> None:
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "w.safetensors")
    file = tmp_path / "images.csv"
    settings = [*ROW, "model.name=test_resnet", "data.dataset=imagenet", f"data.root={synset_folder}"]
    arguments = ["--protocol", "deit", "--protocol", "timm", "--per-class", "--records", str(file)]
    assert main(["eval", "--checkpoint", str(tmp_path / "w.safetensors"), *settings, *arguments]) == 0
    with file.open(newline="", encoding="utf-8") as handle:
        images = list(csv.DictReader(handle))
    assert [line["protocol"] for line in images] == ["deit"] * 30 + ["timm"] * 30
    assert {line["row"] for line in images} == {"neither"}
    assert [line["file"] for line in images[:30]] == [
        path.relative_to(synset_folder).as_posix() for path in sorted(synset_folder.glob("val/*/*"))
    ]


def test_per_class_and_per_image_figures_agree(
    evaluate: Run, official: Path, tmp_path: Path, imagenet_labels: dict[str, int]
) -> None:
    file = tmp_path / "images.csv"
    code, out, err = evaluate(official, "--protocol", "deit", "--per-class", "--records", str(file))
    assert (code, err) == (0, f"wrote {file}\n")
    lines = lines_of(out)
    assert lines[0] == ["row", "protocol", "figure", "value"]
    start = next(k for k, line in enumerate(lines) if "class" in line)
    assert lines[start][:3] == ["row", "protocol", "class"]
    classes = [dict(zip(lines[start], line, strict=True)) for line in lines[start + 1 :]]
    assert [line["class"] for line in classes] == list(imagenet_labels)
    assert [classes[k]["name"] for k in (0, 9)] == ["tench", "parachute"]
    # The third image of each class wears the colour of the class after next.
    assert {line["top-1 (%)"] for line in classes} == {TWO_THIRDS}
    assert classes[0]["most frequent wrong prediction"] == "n02979186 cassette player (1)"
    with file.open(newline="", encoding="utf-8") as handle:
        images = list(csv.DictReader(handle))
    assert [int(line["label"]) for line in images] == [imagenet_labels[line["file"].split("/")[1]] for line in images]
    assert sum(int(line["top1_hit"]) for line in images) == 20
    third = images[2]
    assert (third["file"], third["prediction"]) == ("val/n01440764/n01440764_2.JPEG", "482")
    assert (third["label_name"], third["prediction_name"]) == ("n01440764 tench", "n02979186 cassette player")


def test_json_has_everything(evaluate: Run, official: Path, imagenet_labels: dict[str, int]) -> None:
    code, out, _ = evaluate(official, "--protocol", "deit", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert (found["row"], found["seed"], found["protocol"], found["crop_fraction"]) == ("neither", None, "deit", 0.875)
    assert found["title"] == (
        f"dit/table8 row neither on val ({official}), protocol deit: crop fraction 0.875, bicubic, input 64x64;"
        " 10 of 1000 classes, 30 images"
    )
    assert found["metrics"]["top1_present_percent"] == pytest.approx(200 / 3)
    assert found["printed_top1"]["comparable"] is False
    assert [scores["label"] for scores in found["per_class"]] == list(imagenet_labels.values())


def test_digit_scenes_are_shown_as_ever(
    colour_weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(colour_weights, tmp_path / "w.safetensors")
    settings = [*ROW, "model.name=pvt_v2_nano", "data.val_images=12", "--device", "cpu"]
    records = ["--records", str(tmp_path / "r.csv")]
    assert main(["eval", "--checkpoint", str(tmp_path / "w.safetensors"), *settings, *records]) == 0
    headings, *lines = lines_of(capsys.readouterr().out)
    assert headings == ["row", "figure", "value"]
    assert [figure for _, figure, _ in lines][:4] == ["top-1 (%)", "printed top-1 (%)", "top-5 (%)", "images"]
    assert "not comparable: digit scenes" in lines[1][2]
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as handle:
        images = list(csv.DictReader(handle))
    assert [line["file"] for line in images] == [f"val/scene {k}" for k in range(12)]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ".tar"])
def test_every_kind_of_weights_file(evaluate: Run, tmp_path: Path, colour_weights: Weights, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(colour_weights, path)
    code, out, _ = evaluate(path)
    assert code == 0
    assert f"top-1 (%)\t{TWO_THIRDS}" in out
    assert "all 10 classes, 30 images, numbered in the data set's own order" in out


def refused(result: tuple[int, str, str], code: int, *parts: str) -> None:
    assert result[0] == code, result[2]
    assert result[1] == ""
    assert result[2].startswith("error: ")
    assert result[2].count("\n") == 1
    for part in parts:
        assert part in result[2]


def test_an_unreadable_image_is_named_and_nothing_is_written(
    evaluate: Run, official: Path, synset_folder: Path, tmp_path: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(synset_folder, root)
    broken = root / "val" / "n03028079" / "n03028079_1.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    result = evaluate(official, "--records", str(tmp_path / "r.csv"), root=root)
    refused(result, 3, str(broken))
    assert not (tmp_path / "r.csv").exists()


def test_folders_that_are_no_synsets(evaluate: Run, official: Path, synset_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(synset_folder, root)
    (root / "val" / "n01440764").rename(root / "val" / "fish")
    refused(evaluate(official, root=root), 3, "1000 classes", "has 10", "(fish)", "synsets")


def test_missing_folder_and_missing_file(evaluate: Run, official: Path, tmp_path: Path) -> None:
    refused(evaluate(official, root=tmp_path / "nowhere"), 3, "nowhere does not exist", "image-net.org")
    refused(evaluate(tmp_path / "no.pth"), 3, "no.pth: no such file")


def test_another_architecture(evaluate: Run, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    refused(evaluate(tmp_path / "other.pth"), 3, "other.pth", "another architecture")


def test_an_existing_records_file_is_refused_before_the_work(evaluate: Run, tmp_path: Path) -> None:
    taken = tmp_path / "taken.csv"
    taken.write_text("precious")
    refused(evaluate(tmp_path / "no.pth", "--records", str(taken)), 2, "taken.csv: exists", "--force")
    refused(evaluate(tmp_path / "no.pth", "--records", str(tmp_path / "r.txt")), 2, "unknown format '.txt'")
    assert taken.read_text() == "precious"


def test_protocols_belong_to_image_folders(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored = ("eval", *ROW, "--checkpoint", str(official))
    refused(outcome(capsys, *scored, "--protocol", "deit"), 2, "--protocol deit", "digit_scenes")
    refused(outcome(capsys, *scored, "--protocol", "deitt"), 2, "'deitt' is not one of 'deit', 'timm'")


def test_a_row_that_is_never_trained_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    found = outcome(capsys, "eval", "pvt/table2", "--profile", "paper", "--row", "r18-original")
    refused(found, 3, "r18-original is never trained", "original paper", "--checkpoint")
