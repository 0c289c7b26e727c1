"""The bridge is killed at every step of a capture; started again, it answers who was waiting."""

import pytest

from tests.conftest import Boards, Clients, StartBridge, old
from tests.fakes.board import stamp
from tests.fakes.picture import segments
from tests.fakes.talk import Talk

STEPS = {
    "the command is here": "bridge.app.App._received:before",
    "it waits": "bridge.worker.Worker.submit:after",
    "it is taken up": "bridge.worker.take:before",
    "the board was asked": "bridge.wire.Wire.send:after",
    "the picture is here": "bridge.camera.Camera._one:after",
    "it was checked": "bridge.worker.take:after",
    "it is about to be published": "bridge.publisher.CameraPublisher.image:before",
    "it was handed to the broker": "bridge.publisher.CameraPublisher.image:after",
    "it is about to be saved": "bridge.storage.Storage.save:before",
    "its bytes are in a file": "bridge.storage._write_all:after",
    "the file is about to get its name": "bridge.storage._publish:before",
    "the file has its name": "bridge.storage._publish:after",
    "it is saved": "bridge.storage.Storage.save:after",
    "the result is about to be published": "bridge.publisher.Answer.results:before",
}
"""All those at which the broker can't have had the result."""

LATE = {
    "the result was handed to the broker": "bridge.inbox.Delivery.settle:before",
    "the command is about to be acknowledged": "bridge.connection.Connection.acknowledge:before",
    "the command was acknowledged": "bridge.connection.Connection.acknowledge:after",
    "the result is on the way": "bridge.publisher.Answer.results:after",
    "the broker has the picture": "bridge.mqtt.Mqtt.published:after",
    "all is done": "bridge.worker.Worker._serve:after",
}
"""Those at which it may have had it, and the acknowledgement not: then there are two."""


@pytest.mark.parametrize("step", [*STEPS, *LATE])
def test_a_bridge_that_is_killed_answers_when_it_is_back(
    step: str,
    bridge: StartBridge,
    board: Boards,
    client: Clients,
    base_topic: str,
) -> None:
    talk = Talk(client(), base_topic)
    answers = f"{base_topic}-answers"
    ear = client(subscribe=[answers])
    door = board()
    where = {**STEPS, **LATE}[step]
    process = bridge(
        {"door": old(door)}, mqtt={"version": "5"}, clean=False, strain=(f"die={where}",)
    )
    talk.ask({"id": "a"}, response_topic=answers, correlation_data=b"a")
    assert process.wait() == -9
    captures = process.directory / "captures"
    for picture in captures.rglob("*.jpg"):
        list(segments(picture.read_bytes()))  # under its name a file is whole, or it isn't there
    process.start()
    assert talk.result("a")["status"] == "ok"
    image = ear.wait(answers, lambda m: m.content_type == "image/jpeg")[0]
    assert stamp(image.payload)["asked_ns"] in {asked.at_ns for asked in door.asked}
    talk.ask({"id": "b", "save": False})
    assert talk.result("b")["status"] == "ok"
    talk.client.sync()
    count = sum(r["id"] == "a" for r in talk.all_results())
    print(f"{step}: {count} results, {len(door.asked) - 1} pictures taken")
    assert count == 1 if step in STEPS else count <= 2
    assert len(list(captures.rglob("*.jpg"))) >= 1
    assert not [path for path in captures.rglob("*") if path.name.startswith(".")]


def test_each_command_that_waits_is_answered_after_a_kill(
    bridge: StartBridge, board: Boards, client: Clients, base_topic: str
) -> None:
    talk = Talk(client(), base_topic)
    door, yard = board("door"), board("yard")
    process = bridge(
        {"door": old(door), "yard": old(yard)},
        mqtt={"version": "5"},
        clean=False,
        capture={"queue": 30},
        strain=("die=bridge.storage._publish:before",),
    )
    ids = [f"{number:02}" for number in range(20)]
    for number, id_ in enumerate(ids):
        talk.ask({"id": id_, "save": id_ == "09"}, ("door", "yard")[number % 2])
    assert process.wait() == -9
    process.start()
    for number, id_ in enumerate(ids):
        assert talk.result(id_, ("door", "yard")[number % 2])["status"] == "ok"
