"""What the server takes at most, in one table: `GET /api/v1/about` and `impasto doctor` show it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Attributes:
        body: Bytes of a request without files.
        clip: Bytes of a clip.
        styles: Paintings of a job.
        queue: Jobs that wait.
        streams: Event streams at once.
        cells: Jobs of a grid.
        quota: Bytes of the data folder.
        spare: Bytes of the disk that stay free.
        header: Bytes of a request's head.
        header_seconds: In which it has to arrive.
        body_seconds: In which each further part of a body has to arrive.
        whole_seconds: In which all of a body has to arrive.
        parts: Files of a multipart body, and as many fields.
        connections: At once.
    """

    body: int = 1_000_000
    clip: int = 1_000_000_000
    styles: int = 16
    queue: int = 200
    streams: int = 64
    cells: int = 64
    quota: int = 20_000_000_000
    spare: int = 500_000_000
    header: int = 16_384
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    whole_seconds: float = 900.0
    parts: int = 24
    connections: int = 256
