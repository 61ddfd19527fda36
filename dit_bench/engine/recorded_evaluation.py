"""What every evaluation of dense prediction brings: figures, and the route and cost of each image."""

from __future__ import annotations

from dataclasses import dataclass

from dit_bench.runs.image_records import ImageRecords


@dataclass(frozen=True)
class RecordedEvaluation:
    """What was found on a data set."""

    records: ImageRecords
    """In the order of the data set."""
    metrics: dict[str, float]

    @property
    def num_images(self) -> int:
        """Images evaluated."""
        return len(self.records.index)

    @property
    def kept_ratio(self) -> list[list[float]]:
        """See `ImageRecords.kept_ratio`."""
        return self.records.kept_ratio

    @property
    def column_open_ratio(self) -> list[list[float]]:
        """See `ImageRecords.column_open_ratio`."""
        return self.records.column_open_ratio
