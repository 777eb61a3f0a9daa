"""The commands beside `stylize`, one module a family. Only these and the command line print."""
