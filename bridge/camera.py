"""A board, as the bridge talks to it: connected or not, and one question at a time.

The connection is what ties an answer to its question. After a time-out or any surprise it is
dropped, so that nothing late can answer a later question.
"""

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from bridge import protocol
from bridge.capture import Options
from bridge.errors import (
    BadImage,
    BridgeError,
    CameraFailed,
    CaptureTimeout,
    Unauthorized,
    Unreachable,
    Unsupported,
)
from bridge.opening import Opening, Target
from bridge.threads import Pool
from bridge.wire import BINARY, TEXT, Wire

_HELLO_WAIT = 0.5  # the contract's: how long a board may take to introduce itself
_HELLO_WAIT_V1 = 5.0  # where it is known that one comes
_LOOKS = 4  # at what has arrived, in the time for which a board may be silent
_TALK = 5.0  # for status, settings and the like, which no command limits
_SURPRISE = "the board answered what it was not asked"

_Answer = TypeVar("_Answer", bound=protocol.Message)


class BoardFailure(Exception):
    """The board's own error, on a connection that stays good."""

    def __init__(self, error: BridgeError, retry_after: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class Where(Protocol):
    """The part of a camera's configuration that says how to reach and ask its board."""

    @property
    def protocol(self) -> str:
        """``auto``, ``legacy`` or ``v1``."""

    @property
    def discard(self) -> int:
        """How many pictures to take and drop before the one that counts."""

    @property
    def max_image(self) -> int:
        """Bytes of a picture at most."""


class Camera:
    """One board.

    Args:
        config: how to reach and ask it.
        target: where it is.
        key: for a v1 board that wants one.
        pool: threads for connecting.
        lost: called when a connection breaks, idle or used, with the reason; what ends it while it
            is made, such as a wrong key, is for ``connect`` to raise.
        met: called when a board has introduced itself.
    """

    def __init__(
        self,
        config: Where,
        *,
        target: Target,
        key: str | None,
        pool: Pool,
        lost: Callable[[BridgeError], None],
        met: Callable[[], None],
    ) -> None:
        self._config = config
        self._target = target
        self._key = key
        self._pool = pool
        self._lost = lost
        self._met = met
        self._wire: Wire | None = None
        self._inbox: deque[tuple[int, bytearray]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: BridgeError | None = None
        self._asked = False
        self._received_before: int | None = None
        self._making = False
        self._hello_expected = config.protocol != "legacy"
        self._ids = itertools.count(1)
        self.hello: protocol.Hello | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection that may be asked on."""
        return self._wire is not None and self._wire.open

    def look(self) -> int | None:
        """How many bytes have come since a picture was asked for; ``None``: none was."""
        if self._wire is None or not self._wire.open or self._received_before is None:
            return None
        self._wire.read()  # with a low-water mark set, some may have arrived quietly
        return self._wire.received - self._received_before

    async def connect(self, *, deadline: float) -> None:
        """Connect, wait for the board's hello where one may come, and authenticate.

        Args:
            deadline: monotonic.

        Raises:
            Unreachable: it did not come to that; nothing was asked.
            Unauthorized: the board does not let us in.
        """
        self.abort()
        opening = Opening(self._target, deadline)
        try:
            async with asyncio.timeout_at(deadline):  # the loop's clock is time.monotonic()
                opened = await self._pool.run(opening.run)
        except TimeoutError:
            opening.cancel()
            raise Unreachable(f"{self._target.url}: no answer in time") from None
        except BaseException:
            opening.cancel()
            raise
        self.hello = None
        self._failure = None
        self._received_before = None
        self._inbox.clear()
        self._wire = Wire(
            opened,
            max_image=self._config.max_image,
            max_text=protocol.MAX_TEXT,
            message=self._message,
            lost=self._broke,
        )
        self._making = True
        try:
            await self._introduce(deadline)
        except BaseException:
            self.abort()
            raise
        finally:
            self._making = False

    async def _introduce(self, deadline: float) -> None:
        if not self._hello_expected:
            return
        v1 = self._config.protocol == "v1"
        wait = min(deadline, time.monotonic() + (_HELLO_WAIT_V1 if v1 else _HELLO_WAIT))
        self._asked = True
        try:
            while self.hello is None:
                await self._next(wait, wait)  # what else it says is not for us yet
        except CaptureTimeout:
            if v1:
                raise Unreachable(
                    "the board did not introduce itself as a v1 board; with the original sketch "
                    "it wants protocol: auto or legacy"
                ) from None
            self._hello_expected = False
            return
        except (CameraFailed, BadImage) as exc:
            raise Unreachable(str(exc)) from exc
        finally:
            self._asked = False
        if self.hello.auth == "hmac":
            await self._authenticate(self.hello, deadline)
        self._met()

    async def _authenticate(self, hello: protocol.Hello, deadline: float) -> None:
        if self._key is None:
            raise Unauthorized("the board wants a key, and none is configured for this camera")
        until = min(deadline, time.monotonic() + _TALK)
        try:
            answer = await self._ask(protocol.auth_command(hello, self._key), None, until)
        except BoardFailure as exc:
            raise Unauthorized(f"{exc.error}; is the key right?") from exc
        except CaptureTimeout as exc:
            raise Unreachable("the board did not answer our key") from exc
        except (CameraFailed, BadImage) as exc:
            raise Unauthorized("the board hung up on our key; is it right?") from exc
        if not isinstance(answer, protocol.Ok):
            raise Unauthorized("the board did not accept our key")

    async def capture(self, options: Options, *, patience: float, deadline: float) -> bytearray:
        """Ask for one picture of now; the connection must be there.

        Args:
            options: what it shall be like.
            patience: seconds without a byte from the board after which the question is given up.
            deadline: monotonic; given up then in any case.

        Returns:
            The JPEG as the board sent it, not yet looked at.

        Raises:
            BoardFailure: the board can't, and says so; the connection stays.
            BridgeError: the connection was dropped; or, ``Unsupported``, nothing was asked.
        """
        if self.hello is None and (fault := protocol.unsupported(options, None)):
            raise Unsupported(fault)
        for _ in range(self._config.discard):
            await self._one(options, patience, deadline)
        return await self._one(options, patience, deadline)

    async def _one(self, options: Options, patience: float, deadline: float) -> bytearray:
        wire = self._ready()
        hello = self.hello
        if hello is None:
            id_, text = None, protocol.LEGACY_CAPTURE
        else:
            id_ = f"c{next(self._ids)}"
            text = protocol.capture_command(id_, options, hello)
        head: protocol.ImageHead | None = None
        with self._asking():
            self._received_before = wire.received
            wire.send(text)
            while True:
                opcode, data = await self._next(deadline, time.monotonic() + patience, patience)
                if opcode == BINARY:
                    if self.hello is not None and head is None:
                        raise CameraFailed("the board sent an image without announcing it")
                    protocol.check_image(head, data)
                    return data
                if head is not None:
                    raise CameraFailed("the board announced an image and sent none")
                if self.hello is None:
                    continue  # text from the original sketch is for nobody
                message = protocol.parse(bytes(data))
                if isinstance(message, protocol.ImageHead) and message.id == id_:
                    head = message
                elif isinstance(message, protocol.BoardError) and message.id in (id_, None):
                    raise BoardFailure(*protocol.failure(message))
                elif not isinstance(message, protocol.Hello):
                    raise CameraFailed(_SURPRISE)
                elif message.auth == "hmac":
                    raise CameraFailed("the board wants a key after it was asked")

    async def status(self) -> protocol.Status:
        """A v1 board's health; raises as ``capture`` does."""
        return await self._talk(protocol.status_command, protocol.Status)

    async def set(self, settings: dict[str, Any]) -> dict[str, bool | int | float | str]:
        """Change a v1 board's settings; returns all of them. Raises as ``capture`` does."""
        answer = await self._talk(
            lambda id_: protocol.set_command(id_, settings), protocol.Settings
        )
        return answer.values()

    async def restart(self) -> None:
        """Restart a v1 board, which ends the connection. Raises as ``capture`` does."""
        with contextlib.suppress(CameraFailed, CaptureTimeout):  # restarting, some say nothing
            await self._talk(protocol.restart_command, protocol.Ok)
        self.abort()

    async def _talk(self, command: Callable[[str], str], answer: type[_Answer]) -> _Answer:
        """Send a v1 command; ``answer`` is what is expected."""
        if self.hello is None:
            raise Unsupported("a board with the original sketch can't do that")
        id_ = f"c{next(self._ids)}"
        message = await self._ask(command(id_), id_, time.monotonic() + _TALK)
        if not isinstance(message, answer):
            self.abort()
            raise CameraFailed(_SURPRISE)
        return message

    async def _ask(self, text: str, id_: str | None, deadline: float) -> protocol.Message:
        """Send a v1 command and wait for the text that answers it."""
        wire = self._ready()
        with self._asking():
            wire.send(text)
            while True:
                opcode, data = await self._next(deadline, deadline)
                message = protocol.parse(bytes(data)) if opcode == TEXT else None
                if isinstance(message, protocol.BoardError) and message.id in (id_, None):
                    raise BoardFailure(*protocol.failure(message))
                if message is None or getattr(message, "id", None) != id_:
                    raise CameraFailed(_SURPRISE)
                return message

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """What comes is for who asks. After a surprise the connection is dropped."""
        self._asked = True
        try:
            yield
        except BoardFailure:
            raise
        except BaseException:
            self.abort()
            raise
        finally:
            self._asked = False
            while self._inbox:  # it came right behind the answer, before that was looked at
                self._message(*self._inbox.popleft())

    def _ready(self) -> Wire:
        """The connection, with nothing on it that came before the question."""
        wire = self._wire
        if wire is not None and wire.open:
            wire.drain()
            early = wire.amid or any(opcode == BINARY for opcode, _ in self._inbox)
            if wire.open and early:  # it, or its rest, would come as if it were the answer
                wire.abort()
                self._broke(CameraFailed("the board is sending an image that nobody asked for"))
        if wire is None or not wire.open:
            raise Unreachable(str(self._failure or "not connected"))
        self._inbox.clear()
        return wire

    async def _next(
        self, deadline: float, silent_until: float, patience: float = 0.0
    ) -> tuple[int, bytearray]:
        """The next message.

        Up to ``silent_until`` the board may send nothing; each byte is worth ``patience`` more.
        """
        if self._inbox:
            return self._inbox.popleft()
        if self._wire is None or not self._wire.open:  # it broke right behind the last message
            raise self._failure or CameraFailed("the connection was lost")
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        received = self._wire.received
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer, received, silent_until
            now = time.monotonic()
            if (wire := self._wire) is not None and wire.open:
                wire.read()  # with a low-water mark set, some may have arrived quietly
                if wire.received > received:
                    received = wire.received
                    silent_until = max(silent_until, now + patience)
            if waiter.done():
                return
            if now < min(deadline, silent_until):
                timer = loop.call_at(next_look(now), look)
            else:
                waiter.set_exception(CaptureTimeout("the board did not answer in time"))

        def next_look(now: float) -> float:
            """More than once a patience: a board that stops half-way leaves time to ask again."""
            end = min(deadline, silent_until)
            return min(end, now + patience / _LOOKS) if patience else end

        timer = loop.call_at(next_look(time.monotonic()), look)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return self._inbox.popleft()

    def _message(self, opcode: int, data: bytearray) -> None:
        if opcode == TEXT and self._config.protocol != "legacy" and self.hello is None:
            message = protocol.parse(bytes(data))
            if isinstance(message, protocol.Hello):
                self._introduced(message)
        if self._asked:
            self._inbox.append((opcode, data))
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif opcode == BINARY and self._wire is not None and self._wire.open:
            self._wire.abort()
            self._broke(CameraFailed("the board sent an image that nobody asked for"))

    def _introduced(self, hello: protocol.Hello) -> None:
        self.hello = hello
        if self._hello_expected:
            return  # who connects waits for it
        self._hello_expected = True  # from the next connection on
        if hello.auth != "hmac":
            self._met()
        elif not self._asked and self._wire is not None:
            self._wire.abort()
            self._broke(CameraFailed("the board wants a key, which needs a new connection"))

    def _broke(self, reason: BridgeError) -> None:
        self._failure = reason
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(reason)
        if not self._making:
            self._lost(reason)

    def abort(self) -> None:
        """Drop the connection."""
        if self._wire is not None:
            self._wire.abort()
            self._wire = None

    def close(self) -> None:
        """End the connection politely."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def target_with_path(target: Target, wire: str) -> Target:
    """Ask for ``/v1`` where a v1 board may be and the URL has no path of its own."""
    scheme, _, rest = target.url.partition("://")
    if wire == "legacy" or rest.partition("/")[2] or "?" in rest:
        return target
    return replace(target, url=f"{scheme}://{rest.rstrip('/')}{protocol.V1_PATH}")
