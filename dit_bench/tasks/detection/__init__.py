"""Object detection and instance segmentation: results in COCO's form, and COCO's figures."""
