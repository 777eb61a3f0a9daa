"""Files and pixels. `Picture` is the only way in and out."""
