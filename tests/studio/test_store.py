"""The job store: leases, tokens, wishes, restarts; against a model of it, by random histories."""

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from impasto.errors import ResourceError
from impasto.studio.store import ATTEMPTS, KEYS_KEPT, LEASE, OPEN, RANKS, Conflict, QueueFull, Store

REQUEST = {"photo": "a", "styles": []}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    store = Store(tmp_path / "jobs.sqlite", clock)
    yield store
    store.close()


def test_what_is_added_is_on_the_disk(tmp_path, store) -> None:
    job = store.add("full", REQUEST, name="cat")
    assert store._connection.execute("pragma synchronous").fetchone()[0] == 2  # full: every commit is flushed
    store.close()
    again = Store(tmp_path / "jobs.sqlite")
    assert again.get(job.id) == job
    again.close()


def test_drafts_go_first_then_full_runs_then_looks_and_the_oldest_of_each(store) -> None:
    for kind in ("look", "full", "look", "full", "draft"):
        store.add(kind, REQUEST)
    assert [store.claim().number for _ in range(5)] == [5, 2, 4, 1, 3]
    assert store.claim() is None


def test_a_claim_of_a_rank_leaves_the_others(store) -> None:
    store.add("full", REQUEST)
    assert store.claim(most_rank=0) is None
    draft = store.add("draft", REQUEST)
    assert store.claim(most_rank=0).id == draft.id


def test_a_lease_that_is_over_cannot_write(store, clock) -> None:
    store.add("full", REQUEST)
    first = store.claim()
    clock.now += LEASE + 1
    assert [job.state for job in store.give_up("lost", expired=True)] == ["queued"]
    second = store.claim()
    assert second.token > first.token
    assert not store.beat(first.id, first.token, {}, [], 1)
    assert store.finish(first.id, first.token, "done", result={"a": 1}) is None
    assert store.set_aside(first.id, first.token, "paused") is None
    assert store.finish(second.id, second.token, "done", result={"b": 2}).result == {"b": 2}
    assert store.finish(second.id, second.token, "done", result={"c": 3}) is None


def test_a_heartbeat_keeps_a_lease(store, clock) -> None:
    store.add("full", REQUEST)
    job = store.claim()
    for _ in range(3):
        clock.now += LEASE - 1
        assert store.beat(job.id, job.token, {"evaluation": 1}, [[1, 2.0]], 3)
        assert store.give_up("lost", expired=True) == []
    kept = store.get(job.id)
    assert (kept.progress, kept.losses, kept.version) == ({"evaluation": 1}, [[1, 2.0]], 3)


def test_after_three_attempts_a_job_has_failed_with_the_reason(store) -> None:
    job = store.add("full", REQUEST)
    for attempt in range(1, ATTEMPTS + 1):
        assert store.claim().attempts == attempt
        state = store.give_up("the process died")[0].state
        assert state == ("failed" if attempt == ATTEMPTS else "queued")
    assert store.get(job.id).error["detail"] == "the process died"
    assert store.claim() is None


def test_a_full_disk_sets_a_job_aside_with_the_reason(store) -> None:
    job = store.add("full", REQUEST)
    taken = store.claim()
    error = {"title": "OutputError", "detail": "cannot write"}
    assert store.set_aside(taken.id, taken.token, "paused", error).error == error
    store.wish(job.id, "resume")
    assert store.claim().error is None


def test_a_pause_is_no_attempt(store) -> None:
    job = store.add("full", REQUEST)
    for _ in range(5):
        taken = store.claim()
        store.set_aside(taken.id, taken.token, "paused")
        store.wish(job.id, "resume")
    assert store.claim().attempts == 1


@pytest.mark.parametrize(
    ("wish", "state"), [("cancel", "cancelled"), ("pause", "paused"), ("stop", "queued"), (None, "queued")]
)
def test_a_wish_holds_when_the_worker_dies(store, wish, state) -> None:
    job = store.add("full", REQUEST)
    store.claim()
    if wish:
        assert store.wish(job.id, wish).state == "running"
    assert store.give_up("lost")[0].state == state
    assert store.get(job.id).wish == ("stop" if wish == "stop" else None)


@pytest.mark.parametrize("begun", [False, True])
def test_to_stop_a_job_that_waits_keeps_what_it_has(store, begun) -> None:
    job = store.add("full", REQUEST)
    store.wish(job.id, "pause")
    stopped = store.wish(job.id, "stop", begun=begun)
    assert (stopped.state, stopped.wish) == (("queued", "stop") if begun else ("cancelled", None))


def test_a_job_that_ended_takes_no_wish(store) -> None:
    job = store.add("full", REQUEST)
    store.wish(job.id, "cancel")
    for wish in ("pause", "resume", "stop", "cancel"):
        with pytest.raises(Conflict, match="cancelled"):
            store.wish(job.id, wish)
    assert store.wish("0" * 32, "pause") is None


def test_the_queue_is_bounded(store) -> None:
    for _ in range(3):
        store.add("full", REQUEST, most=3)
    with pytest.raises(QueueFull):
        store.add("full", REQUEST, most=3)
    store.claim()
    store.add("full", REQUEST, most=3)
    assert store.counts() == {"queued": 3, "running": 1}


def test_an_idempotency_key_stands_for_one_job_for_a_day(store, clock) -> None:
    first = store.add("full", REQUEST, key=("k", "body"))
    assert store.add("full", REQUEST, key=("k", "body")).id == first.id
    with pytest.raises(Conflict, match="Idempotency-Key"):
        store.add("full", REQUEST, key=("k", "other"))
    clock.now += KEYS_KEPT + 1
    assert store.add("full", REQUEST, key=("k", "other")).id != first.id


def test_a_running_job_is_not_deleted(store) -> None:
    job = store.add("full", REQUEST, key=("k", "body"))
    store.claim()
    with pytest.raises(Conflict, match="cancel it first"):
        store.delete(job.id)
    store.finish(job.id, 1, "failed", error={"title": "", "detail": ""})
    assert store.delete(job.id)
    assert not store.delete(job.id)
    assert store.add("full", REQUEST, key=("k", "other")).id != job.id


def test_lists_and_places(store) -> None:
    jobs = [store.add("full", REQUEST, batch="b" if number % 2 else None) for number in range(5)]
    assert [job.number for job in store.jobs(limit=2)] == [5, 4]
    assert [job.number for job in store.jobs(before=4, limit=2)] == [3, 2]
    assert [job.number for job in store.jobs(batch="b")] == [4, 2]
    assert [store.position(job) for job in jobs] == [1, 2, 3, 4, 5]
    draft = store.add("draft", REQUEST)
    assert (store.position(draft), store.position(jobs[0])) == (1, 2)
    assert [job.kind for job in store.jobs(states=["queued"], kind="draft")] == ["draft"]
    assert store.change(jobs[0].id, name="cat", star=True).star == 1


def test_pictures_that_no_job_has(store, clock) -> None:
    for id in ("a" * 64, "b" * 64):
        store.add_picture(id, {"name": id[0]}, 10)
    store.add("full", {"photo": "a" * 64})
    clock.now += 10
    assert store.unused_pictures(clock.now) == ["b" * 64]
    assert store.unused_pictures(clock.now - 100) == []
    store.delete_picture("b" * 64)
    assert store.picture("b" * 64) is None
    assert store.picture("a" * 64) == {"name": "a"}


@pytest.mark.slow
def test_a_later_or_torn_file_is_one_sentence(tmp_path) -> None:
    path = tmp_path / "jobs.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(ResourceError, match="later impasto"):
        Store(path)
    path.write_bytes(b"SQLite format 3\0" + b"torn" * 2000)
    with pytest.raises(ResourceError, match="cannot be used"):
        Store(path)


class Histories(RuleBasedStateMachine):
    """Random histories of one store, with restarts and workers that come back too late."""

    jobs = Bundle("jobs")
    leases = Bundle("leases")

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.model: dict[str, dict] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "jobs.sqlite"
        self.store = Store(self.path, self.clock)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.store.close()
            self.folder.cleanup()

    @rule(target=jobs, kind=st.sampled_from(sorted(RANKS)))
    def add(self, kind):
        job = self.store.add(kind, REQUEST)
        self.model[job.id] = {
            "state": "queued", "order": (RANKS[kind], job.number), "token": 0, "attempts": 0, "wish": None,
            "lease": 0.0, "result": None,
        }  # fmt: skip
        return job.id

    @rule(target=leases, most=st.integers(0, 2))
    def claim(self, most):
        waiting = [(m["order"], id) for id, m in self.model.items() if m["state"] == "queued"]
        waiting = sorted(item for item in waiting if item[0][0] <= most)
        job = self.store.claim(most)
        assert (job.id if job else None) == (waiting[0][1] if waiting else None)
        if job is None:
            return multiple()
        found = self.model[job.id]
        found |= {
            "state": "running",
            "token": found["token"] + 1,
            "attempts": found["attempts"] + 1,
            "lease": self.clock.now + LEASE,
        }
        assert (job.token, job.attempts) == (found["token"], found["attempts"])
        return (job.id, job.token)

    def holds(self, lease) -> bool:
        found = self.model.get(lease[0])
        return found is not None and found["state"] == "running" and found["token"] == lease[1]

    @rule(lease=leases)
    def beat(self, lease):
        assert self.store.beat(*lease, {"evaluation": 1}, [], 0) == self.holds(lease)
        if self.holds(lease):
            self.model[lease[0]]["lease"] = self.clock.now + LEASE

    @rule(lease=consumes(leases), state=st.sampled_from(["done", "stopped", "failed", "cancelled"]))
    def finish(self, lease, state):
        result = {"token": lease[1]} if state in ("done", "stopped") else None
        job = self.store.finish(*lease, state, result=result)
        assert (job is not None) == self.holds(lease)
        if job:
            assert self.model[lease[0]]["result"] is None, "a second result"
            self.model[lease[0]] |= {"state": state, "wish": None, "result": result}

    @rule(lease=consumes(leases), state=st.sampled_from(["paused", "queued"]))
    def set_aside(self, lease, state):
        job = self.store.set_aside(*lease, state)
        assert (job is not None) == self.holds(lease)
        if job:
            found = self.model[lease[0]]
            found |= {"state": state, "wish": None, "attempts": max(0, found["attempts"] - 1)}

    @rule(job=jobs, wish=st.sampled_from(["pause", "resume", "stop", "cancel"]), begun=st.booleans())
    def wish(self, job, wish, begun):
        found = self.model.get(job)
        if found is None:
            assert self.store.wish(job, wish) is None
            return
        if found["state"] not in OPEN:
            with pytest.raises(Conflict):
                self.store.wish(job, wish)
            return
        self.store.wish(job, wish, begun=begun)
        if found["state"] == "running":
            found["wish"] = None if wish == "resume" else wish
        elif wish == "stop" and begun:
            found |= {"state": "queued", "wish": "stop"}
        else:
            states = {"pause": "paused", "resume": "queued", "stop": "cancelled", "cancel": "cancelled"}
            found |= {"state": states[wish], "wish": None}

    @rule(job=jobs)
    def delete(self, job):
        if self.model.get(job, {}).get("state") == "running":
            with pytest.raises(Conflict):
                self.store.delete(job)
        else:
            assert self.store.delete(job) == (self.model.pop(job, None) is not None)

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE + 1]))
    def time_passes(self, seconds):
        self.clock.now += seconds

    @rule(expired=st.booleans())
    def give_up(self, expired):
        lost = {
            id
            for id, m in self.model.items()
            if m["state"] == "running" and (not expired or m["lease"] < self.clock.now)
        }
        assert {job.id for job in self.store.give_up("lost", expired=expired)} == lost
        for id in lost:
            self.lose(self.model[id])

    def lose(self, found, *, blame: bool = True) -> None:
        last, wish = found["attempts"] >= ATTEMPTS and blame, found["wish"]
        found["attempts"] -= not blame
        state = {"cancel": "cancelled", "pause": "paused"}.get(wish) or ("failed" if last else "queued")
        found |= {
            "state": state,
            "token": found["token"] + 1,
            "wish": "stop" if wish == "stop" and not last else None,
        }

    @rule()
    def restart(self):
        self.store.close()
        self.store = Store(self.path, self.clock)
        self.store.give_up("the server ended", blame=False)
        for found in self.model.values():
            if found["state"] == "running":
                self.lose(found, blame=False)

    @invariant()
    def same_as_the_model(self):
        if not hasattr(self, "model"):
            return
        jobs = {job.id: job for job in self.store.jobs(limit=10_000)}
        assert jobs.keys() == self.model.keys()
        for id, found in self.model.items():
            job = jobs[id]
            assert (job.state, job.wish, job.token, job.attempts, job.result) == (
                found["state"], found["wish"], found["token"], found["attempts"], found["result"],
            )  # fmt: skip


class TestHistories(Histories.TestCase):
    settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
