"""Servers that tests of a module share: with a stub that paints, and pictures that are there."""

from collections.abc import Iterator

import pytest

from studio.running import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("studio") / "data") as found:
        found.ready()
        yield found


@pytest.fixture(scope="module")
def pair(server) -> dict:
    return server.pair()
