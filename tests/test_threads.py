"""What blocks runs beside the loop: bounded, in order, and cancelled callers harm nobody."""

import asyncio
import threading
from collections.abc import Awaitable

import pytest

from bridge.threads import Pool

LONG = 10.0  # seconds that nothing here takes


def all_of(*awaitables: Awaitable[object]) -> list[object]:
    async def gather() -> list[object]:
        async with asyncio.timeout(LONG):
            return list(await asyncio.gather(*awaitables))

    return asyncio.run(gather())


def test_what_a_function_returns_comes_back_from_another_thread() -> None:
    def where(a: int, *, b: int) -> tuple[int, str, bool]:
        thread = threading.current_thread()
        return a + b, thread.name, thread.daemon

    assert all_of(Pool(2, name="files").run(where, 1, b=2)) == [(3, "files-1", True)]


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyboardInterrupt])
def test_what_a_function_raises_comes_back_and_its_thread_goes_on(
    kind: type[BaseException],
) -> None:
    pool = Pool(1, name="files")

    def fail() -> None:
        raise kind("no")

    async def check() -> None:
        with pytest.raises(kind, match="no"):
            await pool.run(fail)
        assert await pool.run(lambda: "still there") == "still there"
        assert pool._threads == 1

    asyncio.run(check())


def test_no_more_run_at_once_than_may() -> None:
    pool = Pool(3, name="files")
    together = threading.Barrier(3)
    lock = threading.Lock()
    running = most = 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(LONG)  # there are three, or this never ends
        with lock:
            running -= 1

    all_of(*(pool.run(work) for _ in range(12)))
    assert most == 3
    assert pool._threads == 3


def test_jobs_are_begun_in_order() -> None:
    pool = Pool(1, name="files")
    begun: list[int] = []
    all_of(*(pool.run(begun.append, number) for number in range(50)))
    assert begun == list(range(50))


def test_a_thread_that_is_free_is_used_again() -> None:
    pool = Pool(8, name="files")

    async def one_after_another() -> None:
        for _ in range(20):
            await pool.run(lambda: None)

    asyncio.run(one_after_another())
    assert pool._threads == 1


def test_who_is_cancelled_stops_waiting_while_the_function_runs_to_its_end() -> None:
    pool = Pool(1, name="files")
    go_on, ended = threading.Event(), threading.Event()

    async def check() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        surprises: list[object] = []
        loop.set_exception_handler(lambda _, context: surprises.append(context))

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(LONG)
            ended.set()

        caller = asyncio.create_task(pool.run(work))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert not ended.is_set()
        go_on.set()
        assert await pool.run(ended.is_set)  # the only thread comes to it afterwards
        assert not surprises

    asyncio.run(check())


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    pool = Pool(1, name="files")
    go_on = threading.Event()
    done: list[str] = []

    async def check() -> None:
        first = asyncio.create_task(pool.run(go_on.wait, LONG))
        second = asyncio.create_task(pool.run(done.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        go_on.set()
        assert await first
        await pool.run(done.append, "third")
        assert done == ["third"]

    asyncio.run(check())


def test_a_function_may_outlive_the_loop_that_asked_for_it() -> None:
    pool = Pool(1, name="files")
    go_on = threading.Event()

    async def leave() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait(LONG)

        caller = asyncio.create_task(pool.run(work))
        await begun.wait()
        caller.cancel()

    asyncio.run(leave())
    go_on.set()
    assert all_of(pool.run(lambda: "another loop")) == ["another loop"]
