"""Object detectors and instance segmenters over any pyramid of features."""
