"""The command line: flags in, files out. The only package that prints."""
