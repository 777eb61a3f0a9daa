"""Films: a clip painted frame by frame, each from the one before, so that strokes hold still."""
