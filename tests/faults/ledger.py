"""Who asked for what, what came back, what was done to them meanwhile, and what to say of it."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.client import Message
from tests.fakes.picture import segments, stamp

_BEFORE = 1.0  # seconds: what was done so long before a second answer may be its reason


@dataclass
class Asked:
    """One request."""

    id: str
    camera: str
    at_ns: int
    count: int = 1
    accepted: bool = False  # the broker has acknowledged it
    span: bool = False  # and it had to be sent more than once for that, as far as we know


@dataclass(frozen=True)
class Fault:
    """One thing that was done, from ``at_ns`` to ``until_ns``, to one camera or to all."""

    what: str
    at_ns: int
    until_ns: int
    camera: str | None = None


@dataclass
class Verdict:
    """What became of all requests."""

    asked: int = 0
    ok: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    unheard: list[str] = field(default_factory=list)  # the broker never had them
    lost: list[str] = field(default_factory=list)
    twice: dict[str, str] = field(default_factory=dict)  # with the documented reason
    wrong: list[str] = field(default_factory=list)
    answered_at: dict[str, int] = field(default_factory=dict)  # when each was, in full

    @property
    def answered(self) -> int:
        """Requests with an answer."""
        return self.ok + self.errors.total()

    def __str__(self) -> str:
        named = ", ".join(f"{code} {count}" for code, count in sorted(self.errors.items()))
        return (
            f"asked {self.asked}, answered {self.answered} (ok {self.ok}; {named}), "
            f"lost {len(self.lost)}, wrong {len(self.wrong)}, twice {len(self.twice)}, "
            f"never at the broker {len(self.unheard)}"
        )


class Ledger:
    """On record: requests and faults as they are made. Answers are read from a client's record."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.faults: list[Fault] = []
        self._lock = threading.Lock()

    def ask(self, request: Asked) -> None:
        """Note a request that is about to be made."""
        with self._lock:
            self.asked[request.id] = request

    def fault(self, what: str, began_ns: int | None = None, camera: str | None = None) -> None:
        """Note what has been done since ``began_ns``, or has happened now."""
        now = time.monotonic_ns()
        with self._lock:
            self.faults.append(Fault(what, now if began_ns is None else began_ns, now, camera))

    def tally(self) -> Counter[str]:
        """How often each fault was made."""
        return Counter(fault.what for fault in self.faults)

    def missing(self, messages: Iterable[Message]) -> list[str]:
        """Ids that have not been answered in full."""
        results = self._results(messages)
        return [
            id_
            for id_, asked in self.asked.items()
            if asked.accepted and not _is_complete(asked, results.get(id_, []))
        ]

    def judge(self, messages: list[Message], *, responses: bool = True) -> Verdict:
        """Hold all that came against all that was asked; ``responses`` if there are any to see."""
        verdict = Verdict(asked=len(self.asked))
        results = self._results(messages)
        images: dict[str, list[Message]] = {}
        for message in messages:
            if message.content_type == "image/jpeg" and message.correlation_data:
                images.setdefault(message.correlation_data.decode(), []).append(message)
        for id_, asked in self.asked.items():
            mine = results.get(id_, [])
            if not _is_complete(asked, mine):
                (verdict.lost if asked.accepted else verdict.unheard).append(id_)
                continue
            verdict.answered_at[id_] = max(m.at_ns for m in mine)
            self._look_for_doubles(asked, mine, verdict)
            error = next((m.json["error"] for m in mine if m.json["error"]), None)
            if error is None:
                verdict.ok += 1
            else:
                verdict.errors[error] += 1
            for result in mine:
                if result.json["camera"] != asked.camera:
                    verdict.wrong.append(f"{id_}: a result of {result.json['camera']}")
            if responses and error is None and not images.get(id_):
                verdict.wrong.append(f"{id_}: ok, and no picture")
            for image in images.get(id_, []):
                if fault := _fault_of(image.payload, asked.camera, asked.at_ns):
                    verdict.wrong.append(f"{id_}: {fault}")
        verdict.wrong += _shared(images, results)
        verdict.wrong += [
            f"{message.topic}: {fault}"
            for message in messages
            if message.topic.endswith("/image")
            and (fault := _fault_of(message.payload, message.topic.split("/")[-2]))
        ]
        strangers = results.keys() - self.asked.keys()
        verdict.wrong += [
            f"{id_}: nobody asked for it: {results[id_][0].text}" for id_ in strangers
        ]
        return verdict

    def table(self, verdict: Verdict) -> str:
        """As Markdown: each fault, how often, and the requests that it met before their answer."""
        lines = [
            "| fault | times | requests it met | lost | wrong | answered |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        wrong = {line.partition(":")[0] for line in verdict.wrong}
        for what, count in sorted(self.tally().items()):
            met = {id_ for f in self.faults if f.what == what for id_ in self._met(f, verdict)}
            row = what, count, len(met), len(met & {*verdict.lost}), len(met & wrong)
            answered = len(met & verdict.answered_at.keys())
            lines.append("| " + " | ".join(map(str, (*row, answered))) + " |")
        return "\n".join(lines)

    def _met(self, fault: Fault, verdict: Verdict) -> Iterator[str]:
        for id_, asked in self.asked.items():
            ended_ns = verdict.answered_at.get(id_, fault.at_ns)
            meets = asked.at_ns <= fault.until_ns and ended_ns >= fault.at_ns
            if meets and fault.camera in (None, asked.camera):
                yield id_

    def story(self, id_: str, *, seconds: float = 5.0) -> str:
        """What was done to everybody from shortly before a request until so long after it."""
        asked = self.asked[id_]
        began, ended = asked.at_ns - 1e9, asked.at_ns + seconds * 1e9
        lines = [f"{id_} to {asked.camera}, accepted: {asked.accepted}"]
        for fault in sorted(self.faults, key=lambda f: f.at_ns):
            if fault.at_ns <= ended and fault.until_ns >= began and "board" not in fault.what:
                at, until = ((ns - asked.at_ns) / 1e9 for ns in (fault.at_ns, fault.until_ns))
                lines.append(f"  {at:+.3f} to {until:+.3f} s: {fault.what}")
        return "\n".join(lines)

    def _results(self, messages: Iterable[Message]) -> dict[str, list[Message]]:
        """Results by id, without those that the broker sent again to this client."""
        results: dict[str, list[Message]] = {}
        for message in messages:
            if not message.topic.endswith("/result"):
                continue
            result = message.json
            if result["trigger"] == "interval":
                continue
            mine = results.setdefault(result["id"], [])
            if not (message.dup and any(m.payload == message.payload for m in mine)):
                mine.append(message)
        return results

    def _look_for_doubles(self, asked: Asked, results: list[Message], verdict: Verdict) -> None:
        first: dict[Any, Message] = {}
        for result in results:
            index = result.json["index"]
            if index not in first:
                first[index] = result
                continue
            reason = self._reason(asked, first[index], result)
            if reason is None:
                later = (result.at_ns - asked.at_ns) / 1e9
                verdict.wrong.append(
                    f"{asked.id}: answered twice, the second time after {later:.3f} s:\n"
                    f"  {first[index].text}\n  {result.text}\n"
                    f"{self.story(asked.id, seconds=later)}"
                )
            else:
                verdict.twice[asked.id] = reason

    def _reason(self, asked: Asked, first: Message, again: Message) -> str | None:
        """Why there are two answers, of the reasons that docs/reliability.md has."""
        window = first.at_ns - int(_BEFORE * 1e9), again.at_ns
        done = {f.what for f in self.faults if f.at_ns <= window[1] and f.until_ns >= window[0]}
        if first.payload == again.payload and any(what.startswith("broker") for what in done):
            return "the same result again: its acknowledgement was lost"
        away = any(what.startswith("broker") for what in done)
        if "bridge: killed" in done or ("bridge: stopped" in done and away):
            return "the bridge ended before it could acknowledge the command"
        if asked.span:
            return "the command was sent again: its acknowledgement was lost"
        return None


def _is_complete(asked: Asked, results: list[Message]) -> bool:
    indexes = {m.json["index"] for m in results}
    return None in indexes or indexes >= set(range(1, asked.count + 1))


def _fault_of(jpeg: bytes, camera: str, since_ns: int = 0) -> str | None:
    """What is wrong with a picture of that camera, asked for at ``since_ns``."""
    try:
        for _ in segments(jpeg):
            pass
        seen = stamp(jpeg)
    except ValueError as exc:
        return f"no whole picture: {exc}"
    if seen["board"] != camera:
        return f"a picture of {seen['board']}"
    if seen["asked_ns"] is None:
        return "a picture that the bridge did not ask for"
    if seen["asked_ns"] < since_ns:
        return f"a picture from {(since_ns - seen['asked_ns']) / 1e9:.3f} s before the request"
    return None


def _shared(
    images: Mapping[str, list[Message]], results: Mapping[str, list[Message]]
) -> Iterator[str]:
    """Pictures that answer more than one request without having been taken for all of them."""
    owners: dict[tuple[str, int], set[str]] = {}
    for id_, mine in images.items():
        if any(m.json["joined"] for m in results.get(id_, [])):
            continue
        for image in mine:
            with suppress(ValueError):
                seen = stamp(image.payload)
                owners.setdefault((seen["board"], seen["seq"]), set()).add(id_)
    for picture, ids in owners.items():
        if len(ids) > 1:
            yield f"{sorted(ids)}: one picture, {picture}, for requests that did not join"
