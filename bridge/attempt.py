"""Takes one picture from a camera, with all the attempts that its time allows."""

import asyncio
import logging
import time

from bridge import jpeg
from bridge.camera import BoardFailure, Camera
from bridge.capture import Options, Outcome
from bridge.errors import BadImage, BridgeError, CameraFailed, CaptureTimeout, Unreachable

_LOGGER = logging.getLogger(__name__)

_REFUSED_PAUSE = 1.0  # before a refused connection is tried again, says the contract
_LEAST_PATIENCE = 1.0  # a board that takes its time is not asked twice for the sake of it


async def take(
    camera: Camera, options: Options, outcome: Outcome, *, timeout: float, retries: int
) -> jpeg.Jpeg:
    """One picture of a camera that may or may not be connected.

    The time is shared out over the attempts, but a board whose bytes keep coming is let finish.

    Args:
        camera: to be asked by nobody else meanwhile.
        options: what the picture shall be like.
        outcome: its ``attempts`` are counted as they are made.
        timeout: seconds for everything, where ``options`` has none of its own.
        retries: how many attempts may follow the first.

    Raises:
        BridgeError: what the last attempt failed with.
    """
    deadline = time.monotonic() + (timeout if options.timeout is None else options.timeout)
    while True:
        outcome.attempts += 1
        left = retries + 2 - outcome.attempts
        patience = max((deadline - time.monotonic()) / left, _LEAST_PATIENCE)
        failure: BridgeError
        pause = 0.0
        try:
            if not camera.connected:
                pause = _REFUSED_PAUSE
                await camera.connect(deadline=min(deadline, time.monotonic() + patience))
                pause = 0.0
            data = await camera.capture(options, patience=patience, deadline=deadline)
            return jpeg.parse(data)
        except BoardFailure as exc:
            failure = exc.error
            if exc.retry_after is None:
                raise failure from exc
            pause = exc.retry_after
        except BadImage as exc:
            camera.abort()
            failure = exc
        except (Unreachable, CameraFailed, CaptureTimeout) as exc:
            failure = exc
        if left == 1 or time.monotonic() + pause >= deadline:
            raise failure
        _LOGGER.debug("attempt %d of %d: %s", outcome.attempts, retries + 1, failure)
        await asyncio.sleep(pause)
