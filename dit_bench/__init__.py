"""dit-bench: benchmarks and reproduces vision transformers that route tokens dynamically."""

__version__ = "0.1.0"
