"""The same pictures with many settings, one run a cell."""
