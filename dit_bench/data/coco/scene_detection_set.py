"""Digit scenes with several digits as a detection set."""

from __future__ import annotations

from typing import Any

import numpy as np

from dit_bench.data.coco.detection_set import SetObjects, SetSummary, coco_dictionary
from dit_bench.data.scenes.export import run_lengths
from dit_bench.data.scenes.multi_scene_set import MultiSceneSet


class SceneDetectionSet:
    """One split of several-digit scenes; scene k has image id k + 1, the digits 0 … 9 have category ids 1 … 10.

    The training split has the ids under which `export_coco` writes it; those of a validation split begin anew here.
    """

    def __init__(self, scenes: MultiSceneSet):
        self.scenes = scenes
        self.class_names = scenes.class_names
        self.category_ids = tuple(range(1, len(scenes.class_names) + 1))
        self.summary = SetSummary(images=len(scenes), objects=int((scenes.classes >= 0).sum()))

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def num_classes(self) -> int:
        """Number of classes, 10."""
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        """Return scene `index`, uint8 (H, W, 3)."""
        return self.scenes.read(index)

    def image_id(self, index: int) -> int:
        """Return the id of scene `index`."""
        return index + 1

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of scene `index`."""
        height, width = self.scenes.images.shape[1:3]
        return height, width

    def objects(self, index: int, *, masks: bool = True) -> SetObjects:
        """Return the digits of scene `index`; a box is tight around the digit's visible pixels."""
        instances = self.scenes.instances(index)
        corners = np.concatenate([instances.boxes[:, :2], instances.boxes[:, :2] + instances.boxes[:, 2:]], axis=1)
        return SetObjects(corners, instances.classes, instances.masks if masks else None)

    def check_masks(self) -> None:
        """Do nothing: every digit has a mask."""

    def ground_truth(self) -> dict[str, Any]:
        """Return the scenes as pycocotools reads them, masks as uncompressed RLE."""
        images, annotations = [], []
        for k in range(len(self)):
            height, width = self.size(k)
            image_id = self.image_id(k)
            images.append({"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": height, "width": width})
            instances = self.scenes.instances(k)
            for label, box, mask in zip(instances.classes, instances.boxes, instances.masks, strict=True):
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": self.category_ids[label],
                    "bbox": box.tolist(),
                    "area": float(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": run_lengths(mask),
                }
                annotations.append(annotation)
        return coco_dictionary(zip(self.category_ids, self.class_names, strict=True), images, annotations)

    def manifest_sha256(self) -> str:
        """Return the SHA-256 over images, instance maps and classes."""
        return self.scenes.manifest_sha256()
