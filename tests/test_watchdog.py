"""A bridge whose loop is stuck ends, and none that only was not let run."""

import signal
import subprocess
import sys
import time

from bridge.watchdog import EXIT_CODE
from tests.conftest import Boards, StartBridge, old
from tests.fakes.talk import Talk

STUCK_LOG = """
import asyncio, logging, os, sys
from bridge import watchdog

async def run():
    _, sys.stderr = (os.fdopen(fd, "w", 1) for fd in os.pipe())  # nobody reads it
    logging.basicConfig()
    watchdog._LAST_WORDS = 0.2
    watchdog.Watchdog(0.2).start()
    while True:
        logging.critical("." * 1000)
        await asyncio.sleep(0)

asyncio.run(run())
"""


def test_a_stuck_loop_ends_the_process_and_the_log_says_where(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board()
    process = bridge({"door": old(door)}, clean=False, strain=("stuck_after=0.5", "then=block:600"))
    process.signal(signal.SIGUSR1)
    assert process.wait() == 1
    assert "CRITICAL the bridge has been stuck for 0.5 s" in process.log
    assert "Current thread" in process.log
    assert "asyncio/events.py" in process.log  # the stuck one is among the threads shown
    talk.wait("state", "bridge", lambda m: m.payload == b"offline")
    process.start()  # as systemd or Docker would
    talk.ask({"id": "a"})
    assert talk.result("a")["status"] == "ok"


def test_a_loop_that_is_late_but_turns_is_left_alone(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    process = bridge({"door": old(board())}, strain=("stuck_after=2", "then=block:0.7"))
    for number in range(3):  # longer than the limit together
        process.signal(signal.SIGUSR1)
        talk.ask({"id": f"{number}"})
        assert talk.result(f"{number}")["status"] == "ok"


def test_a_process_that_was_stopped_for_longer_than_the_limit_goes_on(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    process = bridge({"door": old(board())}, strain=("stuck_after=0.6",))
    for number in range(3):
        process.freeze()
        time.sleep(1)  # the time is what this is about, nothing is waited for
        process.thaw()
        talk.ask({"id": f"{number}"})
        assert talk.result(f"{number}")["status"] == "ok"


def test_a_log_that_is_not_read_is_a_stuck_loop_too_and_does_not_keep_it_from_ending() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK_LOG], timeout=20, check=False)
    assert done.returncode == EXIT_CODE
