"""The version, written once (read by the build and by `impasto.__version__`)."""

__version__ = "0.1.0"
