"""`dit-bench export`: the embedded digit scenes as files, in the layouts of ImageNet, COCO or ADE20K."""

from __future__ import annotations

from pathlib import Path

import click

from dit_bench.cli.console import print_json, say
from dit_bench.cli.options import debug_option, example, json_option

LAYOUTS = ("imagenet", "coco", "ade20k")


@click.command(
    "export", epilog=example("dit-bench export coco scenes_coco data.train_images=200 data.image_size_px=128")
)
@click.argument("layout", type=click.Choice(LAYOUTS))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@json_option
@debug_option
def command(layout: str, folder: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Write the digit scenes into FOLDER, which must not exist or be empty, in one of the LAYOUTs.

    KEY=VALUE sets any key of the group `data`: sizes, difficulty, number of scenes.
    """
    from dit_bench.recipes.override import data_settings

    settings = data_settings(overrides)
    from dit_bench.data.scenes import export

    write = {"imagenet": export.export_imagenet, "coco": export.export_coco, "ade20k": export.export_ade20k}[layout]
    write(folder, settings)
    if as_json:
        print_json({"layout": layout, "path": str(folder)})
    else:
        say(f"wrote {folder}")
