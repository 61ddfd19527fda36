"""Pictures with semantic maps: ADE20K, Pascal Context, COCO-Stuff, digit scenes; their augmentation, their batches."""
