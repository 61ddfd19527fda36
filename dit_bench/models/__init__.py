"""The networks: PVTv2 sizes of our own and DiT, registered with timm."""
