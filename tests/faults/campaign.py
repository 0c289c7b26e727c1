"""A house under attack: cameras, cables, a broker, the bridge, and what may happen to all of them.

    python -m tests.faults.campaign --requests 1000 --seed 7

asks for so many pictures while faults are made at random, then lets everything be well again,
waits for the answers and says what became of each request. The same seed makes the same plan; when
exactly a fault meets a capture is the machine's business.
"""

import argparse
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

from tests.fakes import behaviours as b
from tests.fakes.board import ESP32, Behaviour, FakeBoard
from tests.fakes.bridge import Bridge
from tests.fakes.broker import Broker
from tests.fakes.client import Message, Version
from tests.fakes.link import SEGMENT, Link
from tests.faults.ledger import Asked, Ledger, Verdict

BASE = "esp32cam"
ANSWERS = f"{BASE}-answers"
TIMEOUT = 2.0  # seconds for a capture; the board needs a tenth
MAX_AGE = 20.0  # seconds that a command may wait
_PATIENCE = 60.0  # seconds for all answers, once everything is well
_KEY = "sesame"

# What boards do wrong. On the legacy wire, which has no ids, a picture that was not asked for and
# comes just after a question can't be told from the answer: those boards are not made to send any.
BOTH_WIRES: dict[str, Callable[[random.Random], Behaviour]] = {
    "half a picture": lambda r: b.truncated,
    "half a message, then silence": lambda r: b.half,
    "two pictures glued": lambda r: b.glued,
    "two pictures as one": lambda r: b.doubled,
    "no picture": lambda r: b.not_a_jpeg,
    "an empty message": lambda r: b.empty_binary,
    "zeros behind": lambda r: b.padded(r.randrange(1, 200)),
    "junk behind": lambda r: b.trailing(r.randbytes(r.randrange(1, 2_000))),
    "silence": lambda r: b.silent,
    "late": lambda r: b.late(r.uniform(0.1, 1.5)),
    "too late": lambda r: b.late(r.uniform(TIMEOUT, 2 * TIMEOUT)),
    "hung up in the middle": lambda r: b.cut(r.randrange(20_000)),
    "reset in the middle": lambda r: b.reset(r.randrange(20_000)),
    "a close frame": lambda r: b.close(r.choice((1000, 1001, 1011))),
    "2^63 bytes": lambda r: b.huge(2**63 - 1),
    "a byte at a time": lambda r: b.drip(0.005),
    "fragments with pings": lambda r: b.fragments(r.randrange(2, 40)),
    "a masked message": lambda r: b.masked,
    "an unknown opcode": lambda r: b.bad_opcode,
    "a text": lambda r: b.text(),
    "no free slot": lambda r: b.slots_full,
    "no answer to the handshake": lambda r: b.handshake_silent,
    "half a handshake": lambda r: b.handshake_half,
    "another's handshake": lambda r: b.wrong_accept,
}
V1_ONLY: dict[str, Callable[[random.Random], Behaviour]] = {
    "another's id": lambda r: b.wrong_id,
    "a wrong checksum": lambda r: b.wrong_crc,
    "a wrong length": lambda r: b.wrong_length,
    "an announcement alone": lambda r: b.text_only,
    "a picture unannounced": lambda r: b.binary_only,
    "twice": lambda r: b.twice,
    "busy": lambda r: b.error("busy", 100),
    "camera_failed": lambda r: b.error("camera_failed"),
    "no_fresh_frame": lambda r: b.error("no_fresh_frame"),
    "an unknown error": lambda r: b.error("gremlins"),
    "no hello": lambda r: b.hello_silent,
    "a garbled hello": lambda r: b.hello_garbled,
    "another's nonce": lambda r: b.hello_wrong_nonce,
}


class House:
    """``cameras`` boards, each behind a cable of its own, a broker behind another, and the bridge.

    Every second board speaks v1, with a key. The requester is at the broker itself, in a session
    that is kept, so that what happens to the bridge does not happen to it.
    """

    def __init__(
        self, cameras: int = 5, *, version: Version = "5", capture: Mapping[str, Any] | None = None
    ) -> None:
        self.ledger = Ledger()
        self._stack = ExitStack()
        self._version = version
        self._names = [f"cam{number}" for number in range(cameras)]
        self._capture = {"timeout": TIMEOUT, "max_age": MAX_AGE, **(capture or {})}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.boards = {
                name: stack.enter_context(
                    FakeBoard(
                        name,
                        wire="v1" if number % 2 else "legacy",
                        key=_KEY if number % 2 else None,
                        pace=ESP32,
                    )
                )
                for number, name in enumerate(self._names)
            }
            self.links = {
                name: stack.enter_context(Link(board.port)) for name, board in self.boards.items()
            }
            self.broker = stack.enter_context(
                Broker(persistence=True, extra=["max_queued_messages 0", "log_type error"])
            )
            self.cable = stack.enter_context(Link(self.broker.port))
            self.cable.on_cut = lambda: self.ledger.fault("broker's cable: cut through")
            self.client = stack.enter_context(
                self.broker.client(
                    subscribe=[f"{BASE}/#", f"{ANSWERS}/#"], client_id="requester", clean=False
                )
            )
            self.bridge = stack.enter_context(Bridge(self._configuration(), self.client))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _configuration(self) -> dict[str, Any]:
        return {
            "mqtt": {
                "host": "127.0.0.1",
                "port": self.cable.port,
                "version": self._version,
                "keepalive": 5,  # half-open connections are to be noticed while we watch
            },
            "storage": {"path": "captures", "durability": "none", "keep": {"free": None}},
            "log": {"level": "info"},
            "capture": self._capture,
            "cameras": {
                name: {
                    "url": f"ws://127.0.0.1:{self.links[name].port}",
                    **({"key": _KEY} if board.key else {"protocol": "legacy"}),
                }
                for name, board in self.boards.items()
            },
        }

    # Asking

    def ask(self, chance: random.Random, *, timeout: float = 60.0) -> Asked:
        """Ask one of the cameras for a picture, one way or another."""
        camera = chance.choice(self._names)
        count = 2 if chance.random() < 0.03 else 1
        asked = Asked(f"r{len(self.ledger.asked):05}", camera, time.monotonic_ns(), count)
        command: dict[str, Any] = {"id": asked.id}
        if count > 1:
            command |= {"count": count, "every": 0.1}
        if chance.random() < 0.5:
            command["save"] = False
        if self.boards[camera].wire == "v1" and chance.random() < 0.3:
            command |= {"framesize": chance.choice(("QVGA", "VGA")), "flash": True}
        self.ledger.ask(asked)
        topic = f"{BASE}/{camera}/capture"
        stop_ns, connections = asked.at_ns + int(timeout * 1e9), self.client.connections
        self.client.publish(
            topic,
            command,
            timeout=(stop_ns - time.monotonic_ns()) / 1e9,
            response_topic=ANSWERS,
            correlation_data=asked.id.encode(),
        )
        asked.accepted = True
        asked.span = self.client.connections != connections
        return asked

    def settle(self, timeout: float = _PATIENCE) -> list[Message]:
        """Make everything well and wait for all answers; all that came, also if some did not."""
        self.heal()
        deadline = time.monotonic() + timeout
        while self.ledger.missing(self.client.messages()) and time.monotonic() < deadline:
            time.sleep(0.1)
        # Where nothing is missing, the bridge may have been started a moment ago.
        self.bridge.wait_for_log("mqtt: connected", this_run=True, timeout=_PATIENCE)
        self.client.sync()
        return self.client.messages()

    def heal(self) -> None:
        """End every fault."""
        for link in (self.cable, *self.links.values()):
            link.heal()
        for board in self.boards.values():
            board.resume()
        if not self.broker.alive:
            self.broker.start()
        if not self.bridge.alive:
            self.bridge.start(wait=False)


class Mischief:
    """Makes faults of three kinds at the same time, each in a thread of its own, until its end.

    Args:
        house: to whom.
        seed: the same makes the same plan.
        boards, cables, houses: seconds between two faults of one board, of one cable, and of broker
            or bridge as a whole, on average; 0: none.
        kills: whether the bridge may be killed, too.
    """

    def __init__(
        self,
        house: House,
        seed: int,
        *,
        boards: float = 0.1,
        cables: float = 0.2,
        houses: float = 1.0,
        kills: bool = True,
    ) -> None:
        self._house = house
        self._kills = kills
        self._ended = threading.Event()
        self._failures: list[BaseException] = []
        kinds = ((boards, self._board), (cables, self._board_cable), (houses, self._whole_house))
        self._threads = [
            threading.Thread(
                target=self._run, args=(random.Random(seed + number), every, act), daemon=True
            )
            for number, (every, act) in enumerate(kinds)
            if every
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "mischief does not end"
        if self._failures:
            raise self._failures[0]

    def _run(
        self,
        chance: random.Random,
        every: float,
        act: Callable[[random.Random], tuple[str, str | None]],
    ) -> None:
        try:
            while not self._ended.wait(chance.expovariate(1 / every)):
                began = time.monotonic_ns()
                what, camera = act(chance)
                self._house.ledger.fault(what, began, camera)
        except BaseException as exc:
            self._failures.append(exc)

    def _board(self, chance: random.Random) -> tuple[str, str]:
        board = self._house.boards[chance.choice([*self._house.boards])]
        faults = BOTH_WIRES if board.wire == "legacy" else {**BOTH_WIRES, **V1_ONLY}
        name = chance.choice([*faults, "hangs up", "restarts", "is away"])
        if name == "hangs up":
            board.drop(reset=chance.random() < 0.5)
        elif name == "restarts":
            board.restart()
        elif name == "is away":
            board.pause()
            board.drop()
            self._wait(chance, 0.1, 0.8)
            board.resume()
        else:
            board.script(faults[name](chance))
        return f"board: {name}", board.name

    def _board_cable(self, chance: random.Random) -> tuple[str, str]:
        name, link = chance.choice([*self._house.links.items()])
        return f"board's cable: {self._cable(chance, link)}", name

    def _whole_house(self, chance: random.Random) -> tuple[str, None]:
        return chance.choice((self._bridge, self._broker, self._broker_cable))(chance), None

    def _broker_cable(self, chance: random.Random) -> str:
        return f"broker's cable: {self._cable(chance, self._house.cable)}"

    def _broker(self, chance: random.Random) -> str:
        broker = self._house.broker
        if chance.random() < 0.5:
            broker.freeze()
            self._wait(chance, 0.2, 2.0)
            broker.thaw()
            return "broker: frozen"
        broker.stop()
        self._wait(chance, 0.0, 1.0)
        broker.start()
        return "broker: restarted"

    def _bridge(self, chance: random.Random) -> str:
        bridge = self._house.bridge
        kind = chance.choice(
            ("killed", "killed", "stopped", "frozen") if self._kills else ("frozen",)
        )
        if kind == "killed":
            bridge.kill()
            bridge.start(wait=False)
        elif kind == "stopped":
            code = bridge.stop()
            # Less than half a second after its start Python has not come to us yet, and just ends.
            assert code in (0, -signal.SIGTERM), f"the bridge ended with {code}:\n{bridge.log}"
            bridge.start(wait=False)
        else:
            bridge.freeze()
            self._wait(chance, 0.1, 1.0)
            bridge.thaw()
        return f"bridge: {kind}"

    def _cable(self, chance: random.Random, link: Link) -> str:
        """Something to the cable of a board, or to the bridge's own."""
        kind = chance.choice(("pulled", "cut", "reset", "half-open", "slow", "in segments"))
        if kind == "pulled":
            link.stall()
            self._wait(chance, 0.2, 1.5)
            link.go()
        elif kind == "cut":
            link.cut_after(chance.randrange(30_000))
        elif kind == "reset":
            link.cut_after(chance.randrange(30_000), reset=True)
        elif kind == "half-open":
            link.forget()
        elif kind == "slow":
            link.delay = 0.1
            self._wait(chance, 0.1, 0.5)
            link.delay = 0.0
        else:
            link.segment, link.gap = SEGMENT, 0.002
            self._wait(chance, 0.1, 0.5)
            link.segment, link.gap = 0, 0.0
        return kind

    def _wait(self, chance: random.Random, least: float, most: float) -> None:
        self._ended.wait(chance.uniform(least, most))


def run(
    requests: int, seed: int, *, cameras: int = 5, version: Version = "5", rate: float = 30.0
) -> tuple[House, Verdict]:
    """The whole campaign. The house is closed on return; its logs and ledger can be looked at."""
    chance = random.Random(seed)
    v5 = version == "5"
    with House(cameras, version=version) as house:
        # On 3.1.1 a command is acknowledged when it is accepted: it does not outlive the bridge.
        with Mischief(house, seed, kills=v5):
            for _ in range(requests):
                house.ask(chance)
                time.sleep(chance.expovariate(rate))
        verdict = house.ledger.judge(house.settle(), responses=v5)
        assert house.bridge.stop() == 0, house.bridge.log
    return house, verdict


def main() -> int:
    """Run it from the command line; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--cameras", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument(
        "--mqtt", choices=("5", "3.1.1"), default="5", help="what the bridge speaks"
    )
    parser.add_argument("--log", action="store_true", help="show the bridge's log")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    house, verdict = run(
        options.requests, options.seed, cameras=options.cameras, version=options.mqtt
    )
    if options.log:
        print(house.bridge.log)
    print(house.ledger.table(verdict))
    print(verdict)
    for line in (*verdict.wrong, *map(house.ledger.story, verdict.lost)):
        print(line)
    for id_, reason in verdict.twice.items():
        print(f"{id_}: twice: {reason}")
    return 1 if verdict.wrong or verdict.lost else 0


if __name__ == "__main__":
    sys.exit(main())
