"""Picture files and their pixels; `Picture` reads and writes them."""
