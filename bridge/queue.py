"""The captures that wait for one camera: bounded, joined, none older than it may be. Pure."""

import itertools
from dataclasses import dataclass

from bridge.capture import Options, Request
from bridge.errors import Busy

MAX_JOINED = 100
"""How many requests beside the first may wait for the same capture."""


@dataclass(slots=True, eq=False)
class Job:
    """One capture that waits, and all the requests that it will answer.

    A burst is one job that comes back for each of its pictures. ``due`` (monotonic) and
    ``due_at`` (wall clock) are when picture ``index`` may be taken, in seconds.
    """

    options: Options
    requests: list[Request]
    due: float
    due_at: float
    index: int = 1

    def waits_since(self, request: Request) -> float:
        """When the request began to wait for this picture, monotonic."""
        return request.received if self.index == 1 else self.due


class CaptureQueue:
    """Jobs in the order in which they became due.

    Args:
        size: captures that may wait.
        max_age: seconds that a request may wait for its picture.
    """

    def __init__(self, size: int, max_age: float) -> None:
        self.size = size
        self.max_age = max_age
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, request: Request, *, idle: bool) -> None:
        """Join a waiting capture of the same options, or wait for one of its own.

        ``idle`` says that the camera is about to take one of them, which so does not wait.
        Raises ``Busy`` past the bounds.
        """
        for job in self._jobs:
            if job.index == 1 and job.options == request.options:
                if len(job.requests) > MAX_JOINED:
                    raise Busy(f"{len(job.requests)} requests wait for the same picture already")
                job.requests.append(request)
                return
        if len(self._jobs) >= self.size + idle:
            raise Busy(f"{len(self._jobs)} captures wait already")
        self._jobs.append(
            Job(request.options, [request], due=request.received, due_at=request.requested_at)
        )

    def put_back(self, job: Job) -> None:
        """Let a burst wait for its next picture."""
        self._jobs.append(job)

    def take(self, now: float) -> Job | None:
        """The capture that is due for longest."""
        job = min(self._jobs, key=_due, default=None)
        if job is None or job.due > now:
            return None
        self._jobs.remove(job)
        return job

    def next_due(self) -> float | None:
        """When the next capture may be taken, monotonic; it may be past."""
        return min(map(_due, self._jobs), default=None)

    def next_expiry(self) -> float | None:
        """When the first of those who wait will have waited too long, monotonic."""
        since = (job.waits_since(request) for job in self._jobs for request in job.requests)
        return min((moment + self.max_age for moment in since), default=None)

    def expire(self, now: float) -> list[tuple[Job, Request]]:
        """Take out the requests that have waited too long."""
        late = [
            (job, request)
            for job in self._jobs
            for request in job.requests
            if now - job.waits_since(request) >= self.max_age
        ]
        for job, request in late:
            job.requests.remove(request)
        self._jobs = [job for job in self._jobs if job.requests]
        return late

    def clear(self) -> list[tuple[Job, Request]]:
        """Take out everything."""
        jobs, self._jobs = self._jobs, []
        return list(itertools.chain.from_iterable(((j, r) for r in j.requests) for j in jobs))


def _due(job: Job) -> float:
    return job.due
