"""The experiment: what the layers see, content against style, and how the picture comes about."""
