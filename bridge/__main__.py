"""The command line, ``esp32cam2mqtt``: ``run``, ``check``, ``capture`` and so on."""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

from bridge import __version__
from bridge.errors import ConfigError

FAILED, WRONG = 1, 2  # and 0 for done

_EXAMPLES = """\
examples:
  esp32cam2mqtt demo                                    try everything, with no board and no broker
  esp32cam2mqtt capture ws://192.0.2.10:81 -o door.jpg  one picture, with no broker
  esp32cam2mqtt capture door --count 10 --every 60      door-01.jpg to door-10.jpg, one a minute
  esp32cam2mqtt find --write                            boards on this network, into config.yaml
  esp32cam2mqtt check --connect                         is all of it right, and all of them there?
  esp32cam2mqtt run -c /etc/esp32cam2mqtt/config.yaml   the bridge

exit codes: 0 done, 1 failed, 2 wrong usage or configuration
"""


def main() -> NoReturn:
    """Run the command line; ends the process with its exit code."""
    sys.exit(_main(sys.argv[1:]))


def _main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    command = options.command or "run"
    try:
        if command == "run":
            return _run(options)
        if command == "check":
            from bridge.commands.check import check

            return check(options)
        if command == "capture":
            from bridge.commands.capture import capture

            return capture(options)
        if command == "find":
            from bridge.commands.find import find

            return find(options)
        if command == "health":
            from bridge.commands.health import health

            return health(options)
        from bridge.demo.play import demo

        return demo(options)
    except ConfigError as exc:
        if options.json:
            print(json.dumps({"status": "error", "problems": exc.problems}, ensure_ascii=False))
        for problem in exc.problems:
            print(problem, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:  # who read our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        return FAILED


def _run(options: argparse.Namespace) -> int:
    from bridge import config, logs
    from bridge.app import App
    from bridge.build import check_extras

    configuration = config.load(options.config)
    check_extras(configuration)
    level = "debug" if options.verbose else configuration.log.level
    logs.set_up(level, "json" if options.json else configuration.log.format)
    for warning in config.exposed(options.config, configuration):
        logging.getLogger(__name__).warning("%s", warning)
    _raise_file_limit()
    _keep_freed_memory()
    # Python's own 5 ms is how long a busy thread, such as a handshake's, would hold up the loop.
    sys.setswitchinterval(0.001)
    return asyncio.run(App(options.config, configuration).run())


def _raise_file_limit() -> None:
    """Each camera takes a file descriptor, and the usual soft limit is 1,024."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_freed_memory() -> None:
    """Let a picture take the memory of the one before.

    glibc gives what is free at the heap's end to the kernel, and each page of it costs a fault
    when it is wanted again: ten cameras of 400 KB had 230 of them for each picture, and 60 % more
    CPU. What it keeps is twice the largest piece that was ever freed, so here is one as large as
    ``max_image`` is by default (mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD).
    """
    bytes(4 * 1024 * 1024)  # nobody writes to it, so the kernel gives no page; freed at once


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_common(common)
    parser = argparse.ArgumentParser(
        prog="esp32cam2mqtt",
        description="Dependable still pictures from ESP32-CAM boards, over MQTT.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_common(parser)
    parser.set_defaults(config=Path("config.yaml"), json=False, verbose=False)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    commands.add_parser("run", parents=[common], help="run the bridge (the default)")

    check = commands.add_parser("check", parents=[common], help="is the configuration right?")
    check.add_argument("--connect", action="store_true", help="try the broker and every board too")
    check.add_argument(
        "--schema", action="store_true", help="print the JSON schema of config.yaml instead"
    )

    capture = commands.add_parser(
        "capture", parents=[common], help="take a picture, or several, without a broker"
    )
    capture.add_argument("camera", metavar="CAMERA|URL", help="a camera's name, or ws://HOST:81")
    capture.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="where to write it (CAMERA.jpg)"
    )
    capture.add_argument("--flash", action="store_true", default=None, help="with the light on")
    capture.add_argument("--framesize", metavar="NAME", help="such as SVGA")
    capture.add_argument("--quality", type=int, metavar="N", help="4 (best) to 63")
    capture.add_argument("--timeout", type=float, metavar="SECONDS", help="for each picture")
    capture.add_argument("--count", type=int, metavar="N", help="so many: CAMERA-1.jpg …, up to 50")
    capture.add_argument("--every", type=float, metavar="SECONDS", help="from one to the next")

    find = commands.add_parser(
        "find", parents=[common], help="boards on the network that announce themselves"
    )
    find.add_argument(
        "--timeout", type=_a_while, default=4.0, metavar="SECONDS", help="how long to look (4)"
    )
    find.add_argument("--write", action="store_true", help="add new ones to the configuration")

    commands.add_parser(
        "health", parents=[common], help="is the bridge at work? As the broker sees it"
    )

    demo = commands.add_parser(
        "demo", parents=[common], help="broker, board and bridge in one; needs nothing"
    )
    demo.add_argument("--once", action="store_true", help="end after the first picture")
    demo.add_argument("--board-only", action="store_true", help="just the virtual board")
    demo.add_argument("--port", type=int, help="the board's port (8181; any free one otherwise)")
    return parser


def _a_while(text: str) -> float:
    """Seconds; argparse makes a sentence of what is raised."""
    with contextlib.suppress(ValueError):
        if 0.1 <= float(text) <= 60:
            return float(text)
    raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 60, got {text!r:.60}")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="configuration (config.yaml)"
    )
    parser.add_argument("--json", action="store_true", help="results and log as JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is for developers")


if __name__ == "__main__":
    logging.captureWarnings(True)
    main()
