"""The HTTP interface of the studio, under /api/v1."""
