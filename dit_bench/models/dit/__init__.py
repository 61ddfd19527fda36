"""DiT, the dynamic vision transformer with a routing space of scales and stages (DiT paper, §3)."""
