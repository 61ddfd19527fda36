"""DToP: dynamic token pruning in plain vision transformers for semantic segmentation, and its baselines."""
