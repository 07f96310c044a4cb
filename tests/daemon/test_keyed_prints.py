"""A print with a key begins once at most, however often it is requested and whatever process dies."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.bridge.words import JobState, Selection
from daemon.core.job.keyed import KeyedPrints
from daemon.errors import JobConflict, KeyReused, NeverBegan, StoreError
from gcode.errors import NozzledError
from hal.simulated.clock import run
from support.mortal import HostLife, MortalDisk, World, until_over

KEYS = ("a", "b", "c")


def world_in(folder) -> World:
    world = World(folder)
    world.disk = MortalDisk(folder / "state")
    world.config = replace(world.config, scripts=replace(world.config.scripts, before_start=("M117 start",)))
    for number, key in enumerate(KEYS):
        path = folder / "uploads" / f"{key}.gcode"
        path.write_text(f"G28 ; {key}\nM117 print of {key}\nG1 X{number} Y5 F6000\nG1 X9 Y9\n")
    return world


def selection(key: str) -> Selection:
    return Selection(f"{key}.gcode", f"{key}.gcode", 40, 0)


def print_count(world, key: str) -> int:
    return sum(each.command == f"M117 print of {key}" for each in world.oracle.commands)


def keyed_prints_of(host) -> KeyedPrints:
    return KeyedPrints(host.jobs, host.records, lambda: host.connection.address)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from(KEYS)),  # the client may be dead before the answer
        st.tuples(st.just("ask twice"), st.sampled_from(KEYS)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.3, 60.0, 60.0])),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("syncs_left"), st.integers(0, 2)),
        st.tuples(st.just("snapshots_left"), st.integers(0, 8)),
        st.tuples(st.just("bytes_left"), st.integers(0, 400)),
        st.tuples(st.just("cancel"), st.just(0)),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=settings().max_examples // 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_each_key_begins_one_print_at_most(tmp_path_factory, steps):
    async def main() -> None:
        world = world_in(tmp_path_factory.mktemp("world"))
        once_more = [("ask", key) for key in KEYS for _ in range(2)]
        todo = iter([*steps, *(step for each in once_more for step in (each, ("wait", 60.0)))])
        tasks: set[asyncio.Task] = set()
        jobs: dict[str, int] = {}
        more = True
        while more:
            more = False
            async with world.host(life := HostLife()) as host:
                prints = keyed_prints_of(host)
                for what, value in todo:
                    await act(host, prints, what, value, tasks, jobs)
                    if life.over:
                        more = True
                        break
                await until_over(host)
                if tasks:
                    await asyncio.wait(tasks, timeout=5)
            assert all(print_count(world, key) <= 1 for key in KEYS), [print_count(world, key) for key in KEYS]
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in ends if isinstance(each, AssertionError)], ends

    run(main())


async def ask(host, prints, key, jobs) -> None:
    """Ask for the print of a key; an answer that comes has to be the same each time."""
    try:
        answer = await prints.begin(selection(key), key, "the same")
    except (JobConflict, NeverBegan):
        return
    except StoreError:
        assert host.life.over, "only the death of the host prevents the record of a print"
        return
    if not host.life.over:
        assert jobs.setdefault(key, answer.job) == answer.job


async def act(host, prints, what, value, tasks, jobs) -> None:
    """Do one step."""
    match what:
        case "ask" | "ask twice":
            for _ in range(2 if what == "ask twice" else 1):
                tasks.add(asyncio.ensure_future(ask(host, prints, value, jobs)))
            await asyncio.sleep(0.05)
        case "wait":
            await asyncio.sleep(value)
        case "kill":
            host.life.end()
        case "syncs_left" | "snapshots_left" | "bytes_left":
            setattr(host.life, what, value)
        case "cancel":
            with suppress(NozzledError):
                host.jobs.cancel()


async def test_a_key_belongs_to_one_request(tmp_path):
    world = world_in(tmp_path)
    async with world.host() as host:
        prints = keyed_prints_of(host)
        first = await prints.begin(selection("a"), "a", "one")
        again = await prints.begin(selection("a"), "a", "one")
        assert (first.again, again.again, again.job) == (False, True, first.job)
        with pytest.raises(KeyReused):
            await prints.begin(selection("a"), "a", "other")
        await until_over(host)
        assert host.jobs.job_key == "a"
        job = await prints.find("a")
        assert (job.state, job.began, job.ended) == ("completed", True, True)
        assert await prints.find("b") is None
    assert print_count(world, "a") == 1


async def test_a_refusal_leaves_the_key_unused(tmp_path):
    world = world_in(tmp_path)
    async with world.host() as host:
        prints = keyed_prints_of(host)
        await prints.begin(selection("a"), "a", "one")
        with pytest.raises(JobConflict):
            await prints.begin(selection("b"), "b", "one")
        assert await prints.find("b") is None
        await until_over(host)
        assert not (await prints.begin(selection("b"), "b", "one")).again
        await until_over(host)
    assert print_count(world, "b") == 1


async def test_a_job_recorded_but_never_begun_is_reported_as_such(tmp_path):
    world = world_in(tmp_path)
    async with world.host(life := HostLife(syncs_left=0)) as host:
        with suppress(StoreError):
            await keyed_prints_of(host).begin(selection("a"), "a", "one")
        assert life.over
    async with world.host() as host:
        prints = keyed_prints_of(host)
        with pytest.raises(NeverBegan, match="nothing was sent"):
            await prints.begin(selection("a"), "a", "one")
        job = await prints.find("a")
        assert (job.state, job.began, job.ended) == ("interrupted", False, True)
        assert host.jobs.state is JobState.INTERRUPTED
        assert (await host.records.statistics("a.gcode")).failure == 0, "it was no print"
        assert not (await prints.begin(selection("a"), "another", "one")).again
        await until_over(host)
    assert print_count(world, "a") == 1


async def test_nothing_is_printed_without_a_record(tmp_path, monkeypatch):
    """With a full disk the print would not be known when it is requested again."""
    world = world_in(tmp_path)
    async with world.host() as host:
        monkeypatch.setattr(host.records, "_on_trouble", [].append)
        await host.records._run(lambda: host.records._connection.execute("PRAGMA query_only = ON"))
        with pytest.raises(StoreError, match="was not started"):
            await keyed_prints_of(host).begin(selection("a"), "a", "one")
        assert not host.jobs.active
        await host.records._run(lambda: host.records._connection.execute("PRAGMA query_only = OFF"))
    assert print_count(world, "a") == 0
