"""VGG-19 forward and back."""
