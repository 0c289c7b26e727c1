"""What a person sees: a real Chromium, driven over its DevTools protocol."""

import base64
import io
import itertools
import json
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import websocket
from PIL import Image

from tests.fakes.port import number, reserve
from tests.fakes.process import Process

_START = 30.0
_TOOLS = """
// All elements that match: Home Assistant's are in nested shadow roots.
function deep(selector, root = document) {
  return [...root.querySelectorAll("*")].flatMap(element => [
    ...(element.matches(selector) ? [element] : []),
    ...(element.shadowRoot ? deep(selector, element.shadowRoot) : [])]);
}
// All text of the page.
function text(node = document.body) {
  if (["STYLE", "SCRIPT"].includes(node.tagName)) return "";
  if (node.nodeType === 3) return node.data;
  const inside = [...(node.shadowRoot ? [node.shadowRoot] : []), ...node.childNodes];
  return inside.map(it => text(it)).join(" ");
}
"""
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)


class Browser(Process):
    """One page; in it, ``deep(selector)`` is all elements that match, ``text()`` all text."""

    def __init__(self) -> None:
        super().__init__("chromium")
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        reserved = reserve("127.0.0.1")
        port = number(reserved)
        reserved.close()
        told = (f"--remote-debugging-port={port}", f"--user-data-dir={self._folder.name}")
        self._launch(
            ["chromium", *_OPTIONS, *told, "--remote-allow-origins=*", "about:blank"],
            cwd=Path(self._folder.name),
        )
        page = self._poll("its page", lambda: self._page(port))
        self._socket = websocket.create_connection(page, timeout=60, max_size=None)
        self._tell("Page.enable")
        self._tell("Page.addScriptToEvaluateOnNewDocument", source=_TOOLS)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self.stop(timeout=10)
        self._folder.cleanup()

    def open(self, url: str) -> None:
        """Go there."""
        self._tell("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        """Make the page so large."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", **size)

    def click(self, element: str) -> None:
        """Click into the middle of what this expression is."""
        x, y = self.run(
            f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
            f"(({element}).getBoundingClientRect())"
        )
        for kind in ("mousePressed", "mouseReleased"):
            at = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self._tell("Input.dispatchMouseEvent", type=kind, **at)

    def run(self, script: str) -> Any:
        """What this expression comes to in the page."""
        told = self._tell("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until this expression is true in the page."""
        self._poll(script, lambda: self.run(script))

    def save(self, path: Path, *, bottom: float | None = None) -> None:
        """What is seen down to ``bottom``, as a small PNG."""
        taken = self._tell("Page.captureScreenshot", format="png")
        picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
        if bottom is not None:
            picture = picture.crop((0, 0, picture.width, min(round(bottom), picture.height)))
        small = picture.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        path.parent.mkdir(parents=True, exist_ok=True)
        small.save(path, optimize=True)

    def _tell(self, method: str, **params: Any) -> dict[str, Any]:
        id_ = next(self._numbers)
        self._socket.send(json.dumps({"id": id_, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == id_:
                assert "result" in message, message
                result: dict[str, Any] = message["result"]
                return result

    @staticmethod
    def _page(port: int) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=5) as answer:
                pages = json.load(answer)
        except OSError:
            return None
        urls = [page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"]
        return urls[0] if urls else None

    def _poll(self, what: str, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + _START
        while not (value := condition()):
            assert self.alive, f"it has ended:\n{self.log}"
            assert time.monotonic() < deadline, f"{what}: not within {_START} s"
            time.sleep(0.05)
        return value
