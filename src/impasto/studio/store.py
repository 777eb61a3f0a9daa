"""The jobs in one sqlite file: what is answered is on the disk before. No torch here.

A job that a worker takes gets a lease, which each heartbeat renews, and a token, which grows with every
lease. A write of a worker counts only with the token of the present lease, so one whose lease is over cannot
disturb the one that followed. One process owns the file, one thread at a time uses it.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.errors import ResourceError
from impasto.messages import printable

VERSION = 1  # of the tables
LEASE = 30.0  # seconds after the last heartbeat in which a job is left to its worker
ATTEMPTS = 3  # leases that may end without a result
KEYS_KEPT = 86_400.0  # seconds in which an idempotency key stands for its job
OPEN = ("queued", "running", "paused")  # states from which a job can still change by itself or by a wish
RANKS = {"draft": 0, "full": 1, "look": 2}  # which goes first

TABLES = """
create table jobs (
    number integer primary key autoincrement, id text unique not null, kind text not null,
    rank integer not null, state text not null, client text, created real not null, started real,
    finished real, request text not null, progress text, losses text, version integer not null default 0,
    result text, error text, name text, star integer not null default 0, batch text,
    attempts integer not null default 0, token integer not null default 0, lease real, wish text
) strict;
create index open_jobs on jobs (state, rank, number);
create table keys (
    name text primary key, body text not null, job text not null, created real not null
) strict;
create table pictures (
    id text primary key, facts text not null, bytes integer not null, used real not null
) strict;
"""
JSON = ("request", "progress", "losses", "result", "error")  # columns that hold JSON


class Conflict(Exception):
    """A job is not in a state in which this is possible; the text says so."""


class QueueFull(Exception):
    """As many jobs wait as may."""


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    number: int
    id: str
    kind: str
    rank: int
    state: str
    client: str | None
    created: float
    started: float | None
    finished: float | None
    request: dict[str, Any]
    progress: dict[str, Any] | None
    losses: list[list[float]] | None = field(repr=False)
    version: int
    result: dict[str, Any] | None
    error: dict[str, str] | None
    name: str | None
    star: int
    batch: str | None
    attempts: int
    token: int
    lease: float | None
    wish: str | None


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    for name in JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    return Job(**values)


class Store:
    """Jobs, idempotency keys and pictures. `clock` returns the time in seconds since 1970.

    Raises:
        ResourceError: The file cannot be written, is damaged, or was made by a later version.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        label = printable(path)
        try:
            self._open(path)
            version = self._connection.execute("pragma user_version").fetchone()[0]
            if version > VERSION:
                raise ResourceError(
                    f"{label} was made by a later impasto (form {version}, this one knows {VERSION}): use "
                    "that version, or another folder with --data"
                )
            if self._connection.execute("pragma quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("database disk image is malformed")
            if version < VERSION:
                self._connection.executescript(
                    f"begin immediate; {TABLES} pragma user_version = {VERSION}; commit;"
                )
        except sqlite3.Error as error:
            raise ResourceError(
                f"{label} cannot be used: {error}; move it away to begin anew, or give another folder with "
                "--data"
            ) from error

    def _open(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
        self._connection.row_factory = sqlite3.Row
        # One process alone: without shared memory, and safe from the faults of old versions with several.
        for setting in ("locking_mode = exclusive", "journal_mode = wal", "synchronous = full"):
            self._connection.execute(f"pragma {setting}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _write(self, sql: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Do one change in a transaction of its own; it is on the disk when this returns."""
        with self._connection:
            self._connection.execute("begin immediate")
            return self._connection.execute(sql, values).fetchall()

    # --- jobs ---------------------------------------------------------------------------------------

    def add(
        self,
        kind: str,
        request: Mapping[str, Any],
        *,
        client: str | None = None,
        name: str | None = None,
        batch: str | None = None,
        key: tuple[str, str] | None = None,
        most: int = 1000,
    ) -> Job:
        """Add a job and return it; with a key that is known, return that key's job.

        Args:
            kind: draft, look or full.
            request: What is to be painted, in types of JSON.
            client: Whose it is, for drafts that replace each other.
            name: A name for people.
            batch: The group it belongs to.
            key: An idempotency key, and the hash of what was sent with it.
            most: How many jobs may wait.

        Raises:
            QueueFull: So many wait already.
            Conflict: The key stands for something else.
        """
        now = self._clock()
        with self._connection:
            self._connection.execute("begin immediate")
            if key and (known := self._known(key, now)):
                return known
            waiting = self._connection.execute("select count(*) from jobs where state = 'queued'").fetchone()[
                0
            ]
            if waiting >= most:
                raise QueueFull
            row = self._connection.execute(
                "insert into jobs (id, kind, rank, state, client, created, request, name, batch) "
                "values (?, ?, ?, 'queued', ?, ?, ?, ?, ?) returning *",
                (secrets.token_hex(16), kind, RANKS[kind], client, now, json.dumps(request), name, batch),
            ).fetchone()
            if key:
                self._connection.execute("insert into keys values (?, ?, ?, ?)", (*key, row["id"], now))
        return _job(row)

    def _known(self, key: tuple[str, str], now: float) -> Job | None:
        """Return the job of a key, inside a transaction."""
        self._connection.execute("delete from keys where created < ?", (now - KEYS_KEPT,))
        row = self._connection.execute("select body, job from keys where name = ?", key[:1]).fetchone()
        if row is None:
            return None
        if row["body"] != key[1]:
            raise Conflict("this Idempotency-Key was sent with another request; take a new one")
        return self.get(row["job"])

    def get(self, id: str) -> Job | None:
        """Return a job; None if there is none of that id."""
        row = self._connection.execute("select * from jobs where id = ?", (id,)).fetchone()
        return None if row is None else _job(row)

    def jobs(
        self, *, states: Sequence[str] = (), kind: str | None = None, batch: str | None = None,
        limit: int = 100, before: int | None = None,
    ) -> list[Job]:  # fmt: skip
        """Return jobs, the newest first; `before` is the number of the oldest one that is known."""
        where, values = ["1"], list[Any]()
        if states:
            where.append(f"state in ({', '.join('?' * len(states))})")
            values += states
        for column, value, sign in (("kind", kind, "="), ("batch", batch, "="), ("number", before, "<")):
            if value is not None:
                where.append(f"{column} {sign} ?")
                values.append(value)
        sql = f"select * from jobs where {' and '.join(where)} order by number desc limit ?"
        return [_job(row) for row in self._connection.execute(sql, (*values, limit))]

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each state."""
        return dict(self._connection.execute("select state, count(*) from jobs group by state").fetchall())

    def position(self, job: Job) -> int | None:
        """Return the place of a waiting job in the queue, 1 for the next one; None for others."""
        if job.state != "queued":
            return None
        before = "select count(*) from jobs where state = 'queued' and (rank, number) <= (?, ?)"
        return int(self._connection.execute(before, (job.rank, job.number)).fetchone()[0])

    def change(self, id: str, **values: Any) -> Job | None:
        """Set the name or the star of a job."""
        columns = ", ".join(f"{name} = :{name}" for name in values)
        rows = self._write(f"update jobs set {columns} where id = :id returning *", {**values, "id": id})
        return _job(rows[0]) if rows else None

    def delete(self, id: str) -> bool:
        """Delete a job that does not run, and its keys; return whether there was one.

        Raises:
            Conflict: It runs.
        """
        with self._connection:
            self._connection.execute("begin immediate")
            row = self._connection.execute("select state from jobs where id = ?", (id,)).fetchone()
            if row is not None and row["state"] == "running":
                raise Conflict("this job runs; cancel it first")
            self._connection.execute("delete from keys where job = ?", (id,))
            self._connection.execute("delete from jobs where id = ?", (id,))
        return row is not None

    # --- what a worker does -------------------------------------------------------------------------

    def claim(self, most_rank: int = 2) -> Job | None:
        """Lease the next waiting job of at most this rank; None if there is none."""
        now = self._clock()
        rows = self._write(
            "update jobs set state = 'running', token = token + 1, attempts = attempts + 1, lease = :lease, "
            "started = coalesce(started, :now), error = null where number = (select number from jobs "
            "where state = 'queued' and rank <= :rank order by rank, number limit 1) returning *",
            {"lease": now + LEASE, "now": now, "rank": most_rank},
        )
        return _job(rows[0]) if rows else None

    def beat(self, id: str, token: int, progress: Any, losses: Any, version: int) -> bool:
        """Renew a lease and note where the job stands; return whether the lease still holds."""
        values = (self._clock() + LEASE, json.dumps(progress), json.dumps(losses), version, id, token)
        return bool(
            self._write(
                "update jobs set lease = ?, progress = ?, losses = ?, version = ? "
                "where id = ? and token = ? and state = 'running' returning id",
                values,
            )
        )

    def finish(
        self, id: str, token: int, state: str, *, result: Any = None, error: Any = None, version: int = 0,
        progress: Any = None, losses: Any = None,
    ) -> Job | None:  # fmt: skip
        """End a job as done, stopped, failed or cancelled; None if the lease does not hold any more."""
        rows = self._write(
            "update jobs set state = ?, finished = ?, lease = null, wish = null, result = ?, error = ?, "
            "version = max(version, ?), progress = coalesce(?, progress), losses = coalesce(?, losses) "
            "where id = ? and token = ? and state = 'running' returning *",
            (
                state, self._clock(), None if result is None else json.dumps(result),
                None if error is None else json.dumps(error), version,
                None if progress is None else json.dumps(progress),
                None if losses is None else json.dumps(losses), id, token,
            ),
        )  # fmt: skip
        return _job(rows[0]) if rows else None

    def set_aside(self, id: str, token: int, state: str, error: Any = None) -> Job | None:
        """Let a running job wait again, as paused or queued: this was no failed attempt.

        `error` is why, if that is no wish.
        """
        rows = self._write(
            "update jobs set state = ?, lease = null, wish = null, attempts = max(0, attempts - 1), "
            "error = ? where id = ? and token = ? and state = 'running' returning *",
            (state, None if error is None else json.dumps(error), id, token),
        )
        return _job(rows[0]) if rows else None

    def give_up(
        self, why: str, *, id: str | None = None, expired: bool = False, blame: bool = True
    ) -> list[Job]:
        """Take running jobs from a worker that died, and return them as they are now.

        They wait again, or have failed after `ATTEMPTS`; what was wished meanwhile holds.

        Args:
            why: The reason, for a job that fails.
            id: Of one job; None: all.
            expired: Only those whose lease is over.
            blame: Whether it counts as an attempt; not where the server itself ended.
        """
        error = json.dumps({"title": "The painting process ended", "detail": why})
        failed = f"(coalesce(wish, 'stop') = 'stop' and attempts >= {ATTEMPTS} and :blame)"
        rows = self._write(
            "update jobs set lease = null, token = token + 1, attempts = attempts - (not :blame), "
            f"error = case when {failed} then :error end, "
            f"finished = case when wish = 'cancel' or {failed} then :now end, "
            "state = case when wish = 'cancel' then 'cancelled' when wish = 'pause' then 'paused' "
            f"when {failed} then 'failed' else 'queued' end, "
            f"wish = case when wish = 'stop' and not {failed} then wish end "
            "where state = 'running' and (:id is null or id = :id) and (not :expired or lease < :now) "
            "returning *",
            {"error": error, "now": self._clock(), "id": id, "expired": expired, "blame": blame},
        )
        return [_job(row) for row in rows]

    # --- what a person wishes -----------------------------------------------------------------------

    def wish(self, id: str, wish: str, *, begun: bool = False) -> Job | None:
        """Pause, resume, stop or cancel a job; return it as it is now, None if there is none.

        A running job keeps the wish until its worker has done it. `begun` says whether a job that does not
        run has a checkpoint, so that stopping it leaves a picture.

        Raises:
            Conflict: It has ended.
        """
        job = self.get(id)
        if job is None:
            return None
        if job.state not in OPEN:
            raise Conflict(f"this job is {job.state}; it can no longer be changed")
        running = job.state == "running"
        if running:
            rows = self._write(
                "update jobs set wish = ? where id = ? and state = 'running' returning *",
                (None if wish == "resume" else wish, id),
            )
            return _job(rows[0]) if rows else self.get(id)
        if wish == "stop" and not begun:
            wish = "cancel"
        state = {"pause": "paused", "resume": "queued", "stop": "queued", "cancel": "cancelled"}[wish]
        rows = self._write(
            "update jobs set state = :state, wish = :wish, finished = :finished "
            "where id = :id and state = :before returning *",
            {
                "state": state,
                "wish": "stop" if wish == "stop" else None,
                "finished": self._clock() if state == "cancelled" else None,
                "id": id,
                "before": job.state,
            },
        )
        return _job(rows[0]) if rows else self.get(id)

    # --- pictures -----------------------------------------------------------------------------------

    def add_picture(self, id: str, facts: Mapping[str, Any], size: int) -> None:
        """Note an uploaded picture; one that is known gets its new name."""
        self._write(
            "insert into pictures values (:id, :facts, :size, :now) "
            "on conflict (id) do update set used = :now, facts = :facts",
            {"id": id, "facts": json.dumps(facts), "size": size, "now": self._clock()},
        )

    def picture(self, id: str) -> dict[str, Any] | None:
        """Return what is known of an uploaded picture; None if there is none."""
        row = self._connection.execute("select facts from pictures where id = ?", (id,)).fetchone()
        return None if row is None else json.loads(row["facts"])

    def unused_pictures(self, before: float) -> list[str]:
        """Return pictures that no job has, and that nobody sent since this time."""
        rows = self._connection.execute(
            "select id from pictures where used < ? and not exists "
            "(select 1 from jobs where instr(request, pictures.id))",
            (before,),
        )
        return [row["id"] for row in rows]

    def delete_picture(self, id: str) -> None:
        """Forget a picture."""
        self._write("delete from pictures where id = ?", (id,))
