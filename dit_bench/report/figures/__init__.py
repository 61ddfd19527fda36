"""The figures: routing overlays, skip ratios and accuracy against cost; each module imports matplotlib."""
