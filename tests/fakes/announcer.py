"""A responder of its own: announces boards by zeroconf, as JSON on the command line says.

``python -m tests.fakes.announcer '[{"name": "Front door", "address": "198.18.0.1", "txt": "…"}]'``;
``txt`` is a whole TXT record in hex. Prints a line when all are announced, and goes on until ended.
"""

import json
import signal
import socket
import sys

from zeroconf import InterfaceChoice, ServiceInfo, Zeroconf

SERVICE = "_esp32cam._tcp.local."


def main() -> None:
    zeroconf = Zeroconf(interfaces=InterfaceChoice.All)
    for number, board in enumerate(json.loads(sys.argv[1])):
        info = ServiceInfo(
            SERVICE,
            f"{board['name']}.{SERVICE}",
            addresses=[socket.inet_aton(board["address"])],
            port=board.get("port", 81),
            properties=bytes.fromhex(board.get("txt", "")),
            server=f"host{number}.local.",
        )
        # two may have one name; a board of ours would take another
        zeroconf.register_service(info, cooperating_responders=True)
    print("announced", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
