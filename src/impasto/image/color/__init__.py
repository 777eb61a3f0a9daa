"""Colors: what a file states about them, and their conversion to sRGB."""
