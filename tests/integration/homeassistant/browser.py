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
    """One page; ``width`` and ``height`` are those of its window."""

    def __init__(self, *, width: int = 1280, height: int = 900) -> None:
        super().__init__("chromium")
        self._size = f"--window-size={width},{height}"
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        reserved = reserve("127.0.0.1")
        port = number(reserved)
        reserved.close()
        told = (f"--remote-debugging-port={port}", f"--user-data-dir={self._folder.name}")
        self._launch(
            ["chromium", *_OPTIONS, self._size, *told, "--remote-allow-origins=*", "about:blank"],
            cwd=Path(self._folder.name),
        )
        page = self._poll("its page", lambda: self._page(port))
        self._socket = websocket.create_connection(page, timeout=60, max_size=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self.stop(timeout=10)
        self._folder.cleanup()

    def open(self, url: str) -> None:
        """Go there."""
        self._tell("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What this expression comes to in the page."""
        told = self._tell("Runtime.evaluate", expression=script, returnByValue=True)
        return told["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until this expression is true in the page."""
        self._poll(script, lambda: self.run(script))

    def save(self, path: Path) -> None:
        """What is seen, as a small PNG."""
        taken = self._tell("Page.captureScreenshot", format="png")
        picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
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
