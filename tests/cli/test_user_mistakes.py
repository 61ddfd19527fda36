"""What goes wrong in a user's hands: one clear line, the right exit code, nothing lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

TINY = ["data.train_images=32", "data.val_images=20", "optimiser.epochs=2", "optimiser.batch_size=16"]


def run(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dit_bench", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "DIT_BENCH_CACHE": str(cwd / "cache")},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the smoke run of the dynamic row is finished."""
    folder = tmp_path_factory.mktemp("trained")
    done = run("train", "dit/table6", "--row", "dynamic", "--profile", "smoke", *TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def assert_one_line(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in errors[0], errors[0]


def test_unknown_model(tmp_path: Path) -> None:
    done = run("train", "dit/table6", "--row", "dynamic", "--profile", "smoke", "model.name=dit_mni", cwd=tmp_path)
    assert_one_line(done, 2, "dit_mni", "dit_mini")
    assert not (tmp_path / "runs").exists()


def test_missing_imagenet(tmp_path: Path) -> None:
    done = run("train", "dit/table6", "--row", "dynamic", "--profile", "paper", "numerics.amp=off", cwd=tmp_path)
    assert_one_line(done, 3, "data/imagenet", "image-net.org")


def test_corrupt_image_is_named(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for k in range(8):
                Image.effect_noise((80, 80), 50).convert("RGB").save(folder / f"{k}.JPEG")
    broken = tmp_path / "set" / "val" / "b" / "3.JPEG"
    broken.write_bytes(broken.read_bytes()[:300])
    settings = [
        "data.dataset=imagenet",
        "data.root=set",
        "augment.shift_px=0",
        "optimiser.epochs=1",
        "optimiser.batch_size=8",
    ]
    done = run("train", "dit/table6", "--row", "dynamic", "--profile", "smoke", *settings, cwd=tmp_path)
    assert_one_line(done, 3, "set/val/b/3.JPEG")
    kept = list((tmp_path / "runs").glob("*.partial/state.safetensors"))
    assert kept, "the training before the bad image must not be lost"


def test_checkpoint_of_another_architecture(trained: Path) -> None:
    weights = next((trained / "runs").glob("*/weights.safetensors"))
    done = run(
        "eval", "dit/table6", "--row", "fully", "--profile", "smoke", "--checkpoint", str(weights), *TINY, cwd=trained
    )
    assert_one_line(done, 3, "weights.safetensors", "another architecture")


def test_code_in_a_checkpoint_is_not_executed(trained: Path) -> None:
    (trained / "evil.pth").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    done = run(
        "eval", "dit/table6", "--row", "dynamic", "--profile", "smoke", "--checkpoint", "evil.pth", *TINY, cwd=trained
    )
    assert_one_line(done, 3, "evil.pth", "safetensors")
    assert not (trained / "pwned").exists()


def test_untrained_row_names_the_command(tmp_path: Path) -> None:
    done = run("eval", "dit/table6", "--row", "dynamic", "--profile", "smoke", cwd=tmp_path)
    assert_one_line(done, 3, "dit-bench train dit/table6 --row dynamic --profile smoke")


def test_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    done = run(
        "train", "dit/table6", "--row", "dynamic", "--profile", "smoke", "--results", "taken", *TINY, cwd=tmp_path
    )
    assert done.returncode in (2, 3)
    assert "taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_figure_of_unknown_format(trained: Path) -> None:
    done = run("plot", "skips", "dit/fig4", "--profile", "smoke", "--out", "x.gif", *TINY, cwd=trained)
    assert_one_line(done, 2, "x.gif", ".png")


def test_finished_run_is_reused_and_figures_are_drawn(trained: Path) -> None:
    again = run("train", "dit/table7", "--row", "learnable", "--profile", "smoke", *TINY, cwd=trained)
    assert again.returncode == 0
    assert "found" in again.stderr, "the same settings under another recipe are the same run"
    Image.effect_noise((90, 61), 80).convert("RGB").save(trained / "mine.jpg")
    drawn = run("plot", "routing", "--image", "mine.jpg", "--profile", "smoke", "--out", "mine.svg", *TINY, cwd=trained)
    assert drawn.returncode == 0, drawn.stderr
    assert (trained / "mine.svg").read_text().count("<svg") == 1


def test_ctrl_c_keeps_the_training_and_the_same_command_goes_on(tmp_path: Path) -> None:
    longer = ["data.train_images=64", "data.val_images=20", "optimiser.epochs=30", "optimiser.batch_size=16"]
    command = ["train", "dit/table6", "--row", "dynamic", "--profile", "smoke", *longer]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "DIT_BENCH_CACHE": str(tmp_path / "cache"),
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "dit_bench", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2/" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 4, rest
    assert "goes on from here" in rest
    again = run(*command, "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resuming in epoch" in again.stderr
    assert again.stdout.startswith("[")
