"""Marks what takes minutes in CI, too: only `scripts/soak` runs it."""

from typing import Any

import pytest


def soak(*values: object) -> Any:
    """Return parameters of a test that only `scripts/soak` takes."""
    return pytest.param(*values, marks=pytest.mark.soak)
