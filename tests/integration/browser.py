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
# Where to click an element that a person could: enabled, in view, not covered, at rest.
_SPOT = """async element => {
  if (!element || element.disabled) return null;
  if (document.getAnimations().some(it => it.effect.target?.contains(element))) return null;
  const spot = () => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  };
  const [x, y] = spot();
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  const top = element.getRootNode().elementFromPoint(x, y);
  const whole = element.ownerSVGElement ? element.parentNode : element; // a label is beside its box
  return String(spot()) === String([x, y]) && whole.contains(top) ? [x, y] : null;
}"""
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


def labelled(words: str, within: str = "*") -> str:
    """An expression for the innermost of the elements in view that say this and nothing else."""
    says = f"it.textContent.trim() === {words!r} && it.getClientRects().length"
    return f"[...document.querySelectorAll({within!r})].filter(it => {says}).at(-1)"


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

    def click(self, element: str, *, times: int = 1) -> None:
        """Click what this expression finds, as soon as a person could: see `_SPOT`."""
        x, y = self._poll(element, lambda: self.run(f"({_SPOT})({element})"))
        at = {"x": x, "y": y, "button": "left"}
        sent = [self._send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)]
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                told = self._send("Input.dispatchMouseEvent", type=kind, clickCount=count, **at)
                sent.append(told)
        for id_ in sent:  # after all: a double click must not take long
            self._answer(id_)

    def type(self, text: str) -> None:
        """Type this over what is in the field that was clicked last."""
        self.run("document.activeElement.select()")
        self._tell("Input.insertText", text=text)

    def choose_file(self, path: Path) -> None:
        """Choose this file in the dialog that the page's one file field has opened."""
        told = self._tell("Runtime.evaluate", expression="document.querySelector('[type=file]')")
        field = told["result"]["objectId"]
        self._tell("DOM.setFileInputFiles", files=[str(path)], objectId=field)

    def run(self, script: str) -> Any:
        """What this expression comes to in the page."""
        told = self._tell(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
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
        return self._answer(self._send(method, **params))

    def _send(self, method: str, **params: Any) -> int:
        id_ = next(self._numbers)
        self._socket.send(json.dumps({"id": id_, "method": method, "params": params}))
        return id_

    def _answer(self, id_: int) -> dict[str, Any]:
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
