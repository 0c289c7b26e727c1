"""Whoever asks the bridge over MQTT, in the words of its topics."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.client import Client, Message


class Talk:
    """Asks cameras, and hears what they answer."""

    def __init__(self, client: Client, base_topic: str) -> None:
        self.client = client
        self.base = base_topic

    def topic(self, camera: str, name: str) -> str:
        return f"{self.base}/{camera}/{name}"

    def ask(
        self,
        payload: bytes | str | Mapping[str, Any] = b"",
        camera: str = "door",
        to: str = "capture",
        **properties: Any,
    ) -> int:
        return self.client.publish(self.topic(camera, to), payload, **properties)

    def result(self, id_: str, camera: str = "+", timeout: float = 10.0) -> dict[str, Any]:
        """The first result with that id."""
        topic = self.topic(camera, "result")
        found = self.client.wait(topic, lambda m: m.json["id"] == id_, timeout=timeout)
        document: dict[str, Any] = found[0].json
        return document

    def results(self, count: int, camera: str = "door") -> list[dict[str, Any]]:
        return [m.json for m in self.client.wait(self.topic(camera, "result"), count=count)]

    def wait(
        self, name: str, camera: str = "door", where: Callable[[Message], object] | None = None
    ) -> Message:
        return self.client.wait(self.topic(camera, name), where)[0]

    def messages(self, name: str, camera: str = "door") -> list[Message]:
        return self.client.messages(self.topic(camera, name))

    def all_results(self, camera: str = "door") -> list[dict[str, Any]]:
        """All results up to that of a further capture, which is not among them."""
        self.ask({"id": "the-last"}, camera)
        self.result("the-last", camera)
        found = [m.json for m in self.messages("result", camera)]
        return [document for document in found if document["id"] != "the-last"]
