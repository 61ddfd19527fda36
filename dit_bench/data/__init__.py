"""Data sets: embedded digit scenes and ImageNet folders, their transforms and loaders."""
