"""Batches on a Ray cluster: the files of a local batch; actors and nodes that are killed."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ResourceError
from impasto.image.xmp import read_recipe
from impasto.many import pool
from impasto.many.batch import batch, run_batch
from impasto.many.jobs import Look, Painting
from impasto.many.rays import Cluster
from many import narrow_worker
from many.helping import files, make_photo, spec
from many.stub_actor import StubActor

pytest.importorskip("ray")
SOURCE = Path(__file__).parents[1]


def look_of(seconds: float) -> Look:
    """A look whose pictures take so long on a cluster."""
    return Look("style", (Painting("style.png"),), Settings(seed=round(1000 * seconds)))


@pytest.fixture
def on_ray(stub, monkeypatch):
    """Return a function that runs a batch of `photos` on a cluster, with actors without torch."""
    paths = [os.environ["PYTHONPATH"], str(SOURCE)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    def run(address: str = "local", seconds: float = 0.0, **options):
        wanted = spec(looks=(look_of(seconds),), folder="ray")
        return run_batch(wanted, pool=Cluster(address, StubActor), **options)

    return run


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster on this machine for several tests, since it takes long to start."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        paths = [str(SOURCE.parent / "src"), str(SOURCE)]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: beside other tests it would get no time
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
        yield
    ray.shutdown()


@pytest.mark.slow
def test_a_cluster_of_this_machine_makes_the_files_of_a_local_batch(cluster, on_ray) -> None:
    """Also: a broken photo fails alone, and Ray repeats the task of a killed actor."""
    for number in range(5):
        make_photo(f"photos/more{number}.png", 40 + number)
    batch("photos", "style.png", Settings(), folder="local")
    for name in ("broken", "once"):
        make_photo(f"photos/{name}.png", 60)
    done = on_ray(workers=2)
    assert (done.made, done.failures) == (9, 1)
    assert (done.failed[0].photo, done.failed[0].error) == ("photos/broken.png", "PictureError")
    assert set(files("local")) <= set(files("ray"))
    for name in files("local"):
        assert Path("local", name).read_bytes() == Path("ray", name).read_bytes()
    assert on_ray(workers=2).there == 9  # known without Ray


@pytest.mark.soak
def test_what_always_kills_its_actor_is_reported_and_takes_no_other_with_it(cluster, on_ray) -> None:
    for number in range(6):
        make_photo(f"photos/more{number}.png", 40 + number)
    make_photo("photos/dies.png", 60)
    done = on_ray(workers=2)
    assert (done.made, done.failures) == (9, 1)
    assert (done.failed[0].photo, done.failed[0].error) == ("photos/dies.png", "killed")


def started(*arguments: str) -> None:
    """Start a node."""
    program = Path(sys.executable).with_name("ray")
    command = [program, "start", "--disable-usage-stats", "--num-cpus", "1", *arguments]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=environment)


def processes(*words: str) -> list[psutil.Process]:
    """Return the processes on whose command lines one of these words stands."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word in part for part in process.cmdline() for word in words):
                found.append(process)
    return found


@contextmanager
def two_nodes() -> Iterator[tuple[str, list[psutil.Process]]]:
    """A cluster of two nodes of one processor each; yields its address, and the processes of the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            started("--head", "--port", str(port), "--temp-dir", folder, "--include-dashboard=false")
            first = {process.pid for process in processes(folder)}
            started("--address", f"127.0.0.1:{port}")
            yield f"127.0.0.1:{port}", [item for item in processes(folder) if item.pid not in first]
        finally:
            for process in processes(folder):
                with suppress(psutil.Error):
                    process.kill()


@pytest.mark.soak
def test_two_nodes_of_which_one_is_killed(on_ray, monkeypatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for number in range(27):
        make_photo(f"photos/more{number}.png", 40 + number)
    with two_nodes() as (address, second):
        assert second
        killed = []

        def on_event(event) -> None:
            if event["event"] == "done" and not killed and event["worker"] == 1:
                for process in second:
                    with suppress(psutil.Error):
                        process.kill()
                killed.append(event["file"])

        done = on_ray(address, 0.5, on_event=on_event, workers=2)
        assert killed
        assert (done.made, done.failures) == (30, 0)
        import ray

        ray.shutdown()
    batch("photos", "style.png", look_of(0.5).settings, folder="local")
    for name in files("local"):
        assert Path("local", name).read_bytes() == Path("ray", name).read_bytes()


def kill_actors(count: int, stop: threading.Event, killed: list[int], every: float) -> None:
    """Kill actors that paint, at random moments."""
    draw = random.Random(count)
    while len(killed) < count and not stop.is_set():
        time.sleep(draw.uniform(0.2, every))
        if actors := processes("ray::StubActor", "ray::Actor"):
            with suppress(psutil.Error):
                victim = draw.choice(actors)
                victim.send_signal(signal.SIGKILL)
                killed.append(victim.pid)


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.soak)]
)
def test_actors_that_are_killed(cluster, on_ray, kills) -> None:
    """Each picture is made; what was killed too often is made by a rerun, to the same bytes."""
    for number in range(3 * kills):
        make_photo(f"photos/more{number}.png", 40 + number)
    stop, killed = threading.Event(), []
    thread = threading.Thread(target=kill_actors, args=(kills, stop, killed, 0.8))
    thread.start()
    try:
        first = on_ray(seconds=0.4, workers=2)
    finally:
        stop.set()
        thread.join()
    assert killed
    assert first.made + first.failures == first.jobs
    settings = look_of(0.4).settings
    rerun = batch("photos", "style.png", settings, folder="ray")
    assert (rerun.made + rerun.there, rerun.failures) == (first.jobs, 0)
    batch("photos", "style.png", settings, folder="local")
    for name in files("local"):
        assert Path("local", name).read_bytes() == Path("ray", name).read_bytes()


def test_a_node_with_another_version_is_refused() -> None:
    with pytest.raises(ResourceError, match=r"a node has impasto 0\.0\.1"):
        Cluster("local")._check_version({"impasto": "0.0.1"})


@pytest.mark.soak
def test_real_actors_make_the_pixels_of_local_processes(place, monkeypatch) -> None:
    settings = Settings(size=32, min_size=16, evaluations=2)
    options = {"runtime": Runtime(threads=1, kernels="winograd"), "workers": 2}
    monkeypatch.setattr(pool, "COMMAND", [sys.executable, "-m", "impasto.many.worker"])
    assert narrow_worker.COMMAND  # the real network here: Ray's workers import what is installed
    batch("photos", "style.png", settings, folder="local", **options)
    done = batch("photos", "style.png", settings, folder="ray", ray="local", **options)
    assert done.made == 3
    for name in files("local"):
        one, other = (read_recipe(Path(folder, name)) for folder in ("local", "ray"))
        assert one.pixels_sha256 == other.pixels_sha256
        assert one.runtime == other.runtime
