"""Pictures with boxes and masks: COCO 2017 folders and digit scenes, their augmentation, their batches."""
