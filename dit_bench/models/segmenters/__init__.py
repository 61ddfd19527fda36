"""Semantic segmenters over any pyramid of features."""
