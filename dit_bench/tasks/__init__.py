"""What a network is asked to do: loss, post-processing and metric of each task."""
