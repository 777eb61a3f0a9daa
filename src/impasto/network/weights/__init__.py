"""Where the weights of VGG-19 come from, and whether they are the original ones."""
