"""An example of everything that dit-bench takes from other packages."""
