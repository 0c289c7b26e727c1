"""``health``: does the bridge of this configuration do its work? For Docker and the like.

The broker is asked, not the process. What a process knows of itself ends it: a stuck loop or a
lost task is an exit code already. What is left to ask is whether others see it: ``bridge/state``
is ``online`` from when the bridge takes commands until it leaves, or the broker misses it.
"""

import argparse
import asyncio
import json
import sys

from bridge import config, logs, topics
from bridge.commands.visit import NoBrokerError, visit
from bridge.config import MqttConfig
from bridge.threads import Pool
from bridge.topics import BridgeTopics


def health(options: argparse.Namespace) -> int:
    """Say how the bridge is; 0 if it is online."""
    mqtt = config.load(options.config).mqtt
    logs.set_up("debug" if options.verbose else "critical", "text")
    fault = asyncio.run(_ask(mqtt))
    if options.json:
        print(json.dumps({"status": "error" if fault else "ok", "message": fault}))
    else:
        print(logs.one_line(fault or "the bridge is online"), file=sys.stderr)
    return 1 if fault else 0


async def _ask(settings: MqttConfig) -> str | None:
    """Why the bridge is not online, as the broker has it."""
    topic = BridgeTopics.of(settings.base_topic).state
    try:
        state = await visit(settings, role="health", pool=Pool(1, name="connect"), read=topic)
    except NoBrokerError as exc:
        return f"no broker: {exc}"
    if state is None:
        return f"no bridge: the broker has nothing on {topic}"
    if state != topics.ONLINE:
        return f"no bridge: {topic} is {state[:20].decode(errors='replace')!r}"
    return None
