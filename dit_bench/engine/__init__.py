"""Training and evaluation of rows: loops, checkpoints, seeds, devices, and the jobs that the command line starts."""
