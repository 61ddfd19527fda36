"""Semantic segmentation: labels from logits, and intersection over union."""
