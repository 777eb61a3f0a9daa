"""The pictures of a run, at the sizes of its scales."""
