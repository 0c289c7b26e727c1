"""A camera that is connected to for each capture, `keep_open: false`: what is known of it."""

from typing import Any

from tests.conftest import Boards, StartBridge, old
from tests.fakes import behaviours as b
from tests.fakes.board import FakeBoard
from tests.fakes.talk import Talk


def on_call(board: FakeBoard, **more: Any) -> dict[str, Any]:
    return {"url": board.url, "keep_open": False, **more}


def test_its_settings_and_its_health_are_known_from_the_start(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(wire="v1")
    bridge({"door": on_call(door)})
    settings = talk.wait("settings", where=lambda m: m.json["flash"] is not None).json
    assert (settings["flash"], settings["quality"], settings["interval"]) == (False, 12, 0)
    talk.wait("state", where=lambda m: m.json["heap"] is not None)
    door.wait_for_open(0)
    assert door.connections == 1


def test_a_change_of_settings_leaves_no_connection(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(wire="v1")
    bridge({"door": on_call(door)})
    talk.wait("settings", where=lambda m: m.json["flash"] is False)
    door.wait_for_open(0)
    talk.ask({"flash": True}, to="set")
    talk.wait("settings", where=lambda m: m.json["flash"] is True)
    door.wait_for_open(0)
    assert door.connections == 2


def test_a_change_of_settings_finds_out_whether_it_is_there(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    door = board(wire="v1")
    bridge({"door": on_call(door)})
    talk.wait("availability", where=lambda m: m.text == "online")
    door.wait_for_open(0)
    door.pause()
    talk.ask({"id": "a", "flash": True}, to="set")
    assert talk.result("a")["error"] == "unreachable"
    talk.wait("availability", where=lambda m: m.text == "offline")
    door.resume()
    talk.ask({"flash": True}, to="set")
    talk.client.wait(talk.topic("door", "availability"), lambda m: m.text == "online", count=2)


def test_it_is_there_if_it_could_be_asked(bridge: StartBridge, board: Boards, talk: Talk) -> None:
    door = board()
    door.pause()
    bridge({"door": old(door, keep_open=False, retries=0)})
    talk.wait("availability", where=lambda m: m.text == "offline")
    door.resume()
    door.always(b.silent)
    talk.ask({"id": "a", "timeout": 1})
    assert talk.result("a")["error"] == "timeout"
    talk.wait("availability", where=lambda m: m.text == "online")
