"""Pascal Context's masks in `trainval_merged.json`, the annotations of PASCAL in Detail.

The file has `images` (`image_id`, `file_name`, `phase`, `height`, `width`) and `annos_segmentation` (`image_id`,
`category_id`, `segmentation` in COCO's compressed run lengths); what else it has, such as parts of objects, is not
looked at. The ids are those of Pascal Context's own release. As in the Detail API, a later mask covers an earlier one,
and what no mask covers has the id 0.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from dit_bench.data.coco.segmentations import check_runs, draw_runs
from dit_bench.data.segmentation.folders import Pair
from dit_bench.data.segmentation.label_ids import IdMap
from dit_bench.errors import DataError


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Image(_Entry):
    image_id: int
    file_name: str
    phase: str
    height: PositiveInt
    width: PositiveInt


class _RunLengths(_Entry):
    size: tuple[int, int]
    counts: str


class _Mask(_Entry):
    image_id: int
    category_id: int
    segmentation: _RunLengths


class _File(_Entry):
    images: list[_Image]
    annos_segmentation: list[_Mask]


@dataclass(frozen=True)
class DetailAnnotations:
    """The images and masks of one file, in flat arrays that worker processes share with their parent.

    Image k has the masks `first_mask[k]` to `first_mask[k + 1] − 1`, in the order of the file; mask m has the run
    lengths `runs[run_starts[m] : run_starts[m + 1]]`, as text.
    """

    path: Path
    images: dict[str, int]
    """Numbers of the images by their names without suffix."""
    phases: tuple[str, ...]
    sizes: np.ndarray
    """int32 (n, 2), height and width."""
    first_mask: np.ndarray
    category_ids: np.ndarray
    """int64 (m,)."""
    run_starts: np.ndarray
    runs: np.ndarray
    """uint8."""

    def names_of_phase(self, phase: str) -> tuple[str, ...]:
        """Return the images of `train` or `val`, sorted.

        Raises:
            DataError: there is none.
        """
        names = tuple(sorted(name for name, number in self.images.items() if self.phases[number] == phase))
        if not names:
            raise DataError(f"{self.path} has no image of the phase {phase!r}", remedy="restore the file")
        return names


def read_detail(path: Path) -> DetailAnnotations:
    """Read and check the file; the masks themselves are checked when they are drawn.

    Raises:
        DataError: the file is missing or no JSON, a key is missing or of the wrong type, an image stands twice, or a
            mask belongs to no image or has another size than its own. One line names the file and the entry.
    """
    try:
        content = _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read annotations {path}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in first["loc"]).lstrip(".")
        raise DataError(
            f"{path}: {where + ': ' if where else ''}{first['msg']}",
            remedy="restore the file; expected are the annotations of PASCAL in Detail, trainval_merged.json",
        ) from error
    if not content.annos_segmentation:
        raise _problem(path, "annos_segmentation is empty")
    numbers: dict[int, int] = {}
    images: dict[str, int] = {}
    for number, image in enumerate(content.images):
        name = Path(image.file_name).stem
        if image.image_id in numbers or name in images:
            raise _problem(path, f"images[{number}] ({image.file_name}, {image.image_id}) stands there twice")
        numbers[image.image_id] = images[name] = number
    owners: list[int] = []
    for place, mask in enumerate(content.annos_segmentation):
        owner = numbers.get(mask.image_id)
        if owner is None:
            raise _problem(path, f"annos_segmentation[{place}] belongs to image {mask.image_id}, which images lacks")
        if mask.category_id < 0:
            raise _problem(path, f"annos_segmentation[{place}] has the category {mask.category_id}")
        owners.append(owner)
    order = np.argsort(np.array(owners, np.int64), kind="stable")
    masks = [content.annos_segmentation[place] for place in order.tolist()]
    texts = [mask.segmentation.counts.encode() for mask in masks]
    sizes = np.array([(image.height, image.width) for image in content.images], np.int32).reshape(-1, 2)
    for place, owner in enumerate(owners):
        size = content.annos_segmentation[place].segmentation.size
        if size != tuple(sizes[owner].tolist()):
            height, width = sizes[owner].tolist()
            raise _problem(
                path,
                f"annos_segmentation[{place}] is {size[1]}x{size[0]} pixels, its image"
                f" {content.images[owner].file_name} {width}x{height}",
            )
    return DetailAnnotations(
        path=path,
        images=images,
        phases=tuple(image.phase for image in content.images),
        sizes=sizes,
        first_mask=np.searchsorted(np.array(owners, np.int64)[order], np.arange(len(images) + 1)),
        category_ids=np.array([mask.category_id for mask in masks], np.int64),
        run_starts=np.cumsum([0, *(len(text) for text in texts)]),
        runs=np.frombuffer(b"".join(texts), np.uint8),
    )


def _problem(path: Path, problem: str) -> DataError:
    return DataError(f"{path}: {problem}", remedy="restore the file")


class DetailLabels:
    """The masks of `trainval_merged.json`, painted one over the other."""

    def __init__(self, annotations: DetailAnnotations, ids: IdMap):
        self.annotations = annotations
        self.ids = ids

    def describe(self, pair: Pair) -> str:
        """Return the image and the file of its masks."""
        return f"mask of {pair.image} in {self.annotations.path}"

    def size(self, pair: Pair) -> tuple[int, int]:
        """Return height and width as the file has them."""
        height, width = self.annotations.sizes[self._number(pair)].tolist()
        return height, width

    def values(self, pair: Pair) -> np.ndarray:
        """Return the numbers of the classes, uint8 (H, W).

        Raises:
            DataError: a mask's run lengths are damaged, or its category is unknown.
        """
        size = self.size(pair)
        canvas = np.zeros(size, np.uint8)
        category_ids, texts = self._masks(pair)
        numbers = self.ids.numbers(category_ids, self.describe(pair))
        for number, text in zip(numbers, texts, strict=True):
            try:
                runs = check_runs({"size": list(size), "counts": text.decode()}, size)
            except ValueError as error:
                raise DataError(f"{self.describe(pair)}: {error}", remedy="restore the file") from error
            canvas[draw_runs(np.array(runs, np.int64), size)] = number
        return canvas

    def identity(self, pair: Pair) -> str:
        """Return the SHA-256 over the categories and run lengths of an image's masks; the file's name is no part."""
        category_ids, texts = self._masks(pair)
        return hashlib.sha256(category_ids.astype("<i8").tobytes() + b"\0".join(texts)).hexdigest() + "\n"

    def _number(self, pair: Pair) -> int:
        return self.annotations.images[Path(pair.image).stem]

    def _masks(self, pair: Pair) -> tuple[np.ndarray, list[bytes]]:
        """Category ids int64 (m,) and run lengths of an image's masks."""
        number, found = self._number(pair), self.annotations
        masks = slice(found.first_mask[number], found.first_mask[number + 1])
        starts = found.run_starts[masks.start : masks.stop + 1]
        return found.category_ids[masks], [found.runs[first:end].tobytes() for first, end in pairwise(starts)]
