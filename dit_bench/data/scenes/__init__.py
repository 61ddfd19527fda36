"""Digit scenes: real handwritten digits on darkened photographs, generated on the spot."""
