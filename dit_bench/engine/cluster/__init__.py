"""Runs as jobs of a cluster, or of one machine: submitted through submitit, watched, restarted."""
