"""The tasks by the names that recipes use."""

from __future__ import annotations

from dit_bench.engine.classification_jobs import ClassificationJobs
from dit_bench.engine.detection_jobs import DetectionJobs
from dit_bench.engine.segmentation_jobs import SegmentationJobs
from dit_bench.engine.task_jobs import TaskJobs
from dit_bench.recipes.settings import Task

TASKS: dict[Task, TaskJobs] = {
    "classification": ClassificationJobs(),
    "detection": DetectionJobs(),
    "segmentation": SegmentationJobs(),
}
