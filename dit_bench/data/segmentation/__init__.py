"""Pictures with semantic maps: ADE20K folders and digit scenes, their augmentation, their batches."""
