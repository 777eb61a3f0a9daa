"""The program: the command `impasto`, and `python -m impasto`."""

import signal
import sys


def main() -> int:
    """Run the command line; Ctrl-C while it is imported ends the program quietly."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `cli.app.main` handles it
    from impasto.cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
