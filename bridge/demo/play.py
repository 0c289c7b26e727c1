"""Plays all the parts at once: a broker, a board, the bridge, and somebody who asks.

The board is the firmware itself where that is built as a program, else the one in Python.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge import config, logs
from bridge.app import App
from bridge.build import broker
from bridge.demo.board import DEFAULT_PORT, VirtualBoard, serve
from bridge.demo.broker import DemoBroker
from bridge.demo.simulator import SimulatedBoard, find
from bridge.errors import BridgeError, CaptureTimeout
from bridge.mqtt import Message, Mqtt
from bridge.outbox import Outbox, Publication
from bridge.threads import Pool
from bridge.topics import CameraTopics

_CAMERA = "porch"
_FOLDER = Path("captures").absolute()
_FIRST_PICTURE = 20.0  # seconds; it takes about one


def demo(options: argparse.Namespace) -> int:
    """Run the demo, or the virtual board alone; returns the exit code."""
    logs.set_up("debug" if options.verbose else "warning", "json" if options.json else "text")
    if options.board_only:
        port = DEFAULT_PORT if options.port is None else options.port
        return serve(VirtualBoard(port=port))
    return asyncio.run(_demo(options, _Say(options.json)))


async def _demo(options: argparse.Namespace, say: "_Say") -> int:
    say.line("esp32cam2mqtt demo: a broker, a board and the bridge, all on this computer")
    say.line()
    with DemoBroker() as there:
        say.line(f"  broker  {there.kind} on {there.host}:{there.port}")
        board, what = _board(options)
        await board.start()
        try:
            say.line(f"  board   {board.url}, {what}")
            if isinstance(board, SimulatedBoard):
                say.line(f"  page    {board.http_url}, the board's own")
            configuration = config.Config.model_validate(
                {
                    "mqtt": {"host": there.host, "port": there.port},
                    "storage": {"path": str(_FOLDER)},
                    "cameras": {_CAMERA: {"url": board.url}},
                }
            )
            say.line(f"  bridge  camera {_CAMERA!r}, pictures in {configuration.storage.path}")
            say.line()
            app = App(None, configuration)
            asking = asyncio.create_task(_play(app, configuration, there, options, say))
            code = await app.run()
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            return code
        finally:
            await board.stop()


def _board(options: argparse.Namespace) -> tuple[SimulatedBoard | VirtualBoard, str]:
    """A board to play with, and what it is."""
    program, port = find(), options.port or 0
    if program is None:
        return VirtualBoard(port=port, name=_CAMERA), "virtual; its scene moves with the clock"
    board = SimulatedBoard(program, port=port, verbose=options.verbose)
    return board, "the firmware itself, as a program"


async def _play(
    app: App,
    configuration: config.Config,
    there: DemoBroker,
    options: argparse.Namespace,
    say: "_Say",
) -> None:
    try:
        result = await first_picture(configuration)
    except BridgeError as exc:
        say.line(f"No picture came: {exc}")
        app.stop(1)
        return
    say.result(result)
    if options.once or result["status"] != "ok":
        app.stop(0 if result["status"] == "ok" else 1)
        return
    say.hints(there)
    logging.getLogger().setLevel(logging.DEBUG if options.verbose else logging.INFO)


async def first_picture(configuration: config.Config) -> dict[str, Any]:
    """Ask for a picture as anybody would, over MQTT, and wait for its result."""
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    outbox = Outbox()
    topics = CameraTopics.of(configuration.mqtt.base_topic, _CAMERA)

    def received(message: Message) -> None:
        if message.done is not None:
            message.done()
        if message.topic == topics.availability and message.payload == b"online":
            outbox.put(Publication(topics.capture, b'{"id": "first"}', "result"))
        elif message.topic == topics.result and not answer.done():
            answer.set_result(json.loads(message.payload))

    mqtt = Mqtt(
        replace(broker(configuration.mqtt), client_id="esp32cam2mqtt-demo"),
        will_topic=None,
        outbox=outbox,
        message=received,
        connected=lambda: mqtt.read({topics.availability}),  # the bridge may have said it already
        pool=Pool(1, name="demo"),
    )
    mqtt.subscribe({topics.result})
    task = asyncio.create_task(mqtt.run())
    try:
        async with asyncio.timeout(_FIRST_PICTURE):
            return await answer
    except TimeoutError:
        raise CaptureTimeout(f"no result within {_FIRST_PICTURE:g} s; try -v") from None
    finally:
        await mqtt.stop(timeout=1)
        task.cancel()


class _Say:
    """What people read goes to standard error, JSON to standard output."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def line(self, text: str = "") -> None:
        print(text, file=sys.stderr, flush=True)

    def result(self, result: dict[str, Any]) -> None:
        if self._as_json:
            print(json.dumps(result), flush=True)
        if result["status"] != "ok":
            self.line(f"The first picture failed: {result['error']}: {result['message']}")
            return
        size = f"{result['width']}x{result['height']}, {result['bytes'] // 1000} KB"
        self.line(f"The first picture is here ({size}, {result['duration']:.2f} s):")
        self.line(f"  {result['path']}")

    def hints(self, there: DemoBroker) -> None:
        where = "" if there.port == 1883 else f" -p {there.port}"
        self.line()
        self.line("Try it from another terminal (apt-get install mosquitto-clients):")
        self.line(f"  mosquitto_sub -h {there.host}{where} -v -t esp32cam/{_CAMERA}/result")
        self.line(
            f"  mosquitto_pub -h {there.host}{where} -t esp32cam/{_CAMERA}/capture -m capture"
        )
        self.line(
            f"  mosquitto_sub -h {there.host}{where} -t esp32cam/{_CAMERA}/image -C 1 -N "
            "> picture.jpg"
        )
        self.line()
        self.line("Ctrl-C ends it.")
