"""Many pictures: a folder of photos painted by several processes, on several machines."""
