"""A phone with Home Assistant's app, as far as Home Assistant can tell: it is told by HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.integration.homeassistant.home_assistant import Document, HomeAssistant


class Phone:
    """The service that the app's maker runs to wake phones; what it was told is on record."""

    def __init__(self) -> None:
        self.notifications: list[Document] = []
        self._changed = threading.Condition()
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                phone.told(json.loads(body))
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def register(self, hass: HomeAssistant, name: str) -> str:
        """Make it known as ``notify.mobile_app_<name>``, as the app does; its device's id."""
        app = {"app_id": "test", "app_name": "Test", "app_version": "1"}
        device = {"device_id": name, "device_name": name, "manufacturer": "Test", "model": "Test"}
        device |= {"os_name": "Test", "os_version": "1"}
        url = f"http://127.0.0.1:{self._server.server_port}/{name}"
        push = {"push_url": url, "push_token": name}
        registration = {**app, **device, "supports_encryption": False, "app_data": push}
        hass.post("/api/mobile_app/registrations", registration)
        service = f"mobile_app_{name}"

        def known() -> bool:
            services = hass.get("/api/services")
            return any(s["domain"] == "notify" and service in s["services"] for s in services)

        hass.wait_until(f"notify.{service}", known)
        devices = hass.ask("config/device_registry/list")
        found: str = next(d["id"] for d in devices if ["mobile_app", name] in d["identifiers"])
        return found

    def told(self, notification: Document) -> None:
        """Note what came."""
        with self._changed:
            self.notifications.append(notification)
            self._changed.notify_all()

    def wait(self, count: int = 1, timeout: float = 20.0) -> list[Document]:
        """Wait until it has been told so often since the last time, and give back all of it."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.notifications) >= count, timeout)
            assert enough, f"{count} notifications; there are {self.notifications}"
            notifications, self.notifications = self.notifications, []
        return notifications
