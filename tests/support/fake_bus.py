"""JetStream in a few lines, for properties: what it stores is kept, what it loses is drawn.

It has what the publisher leans on: message ids, the expected last sequence of a subject, atomic batches and
the direct get. A request may be lost on the way, its answer may be, or it may arrive after the next one.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from fedbus.bus.session import Connection, Message
from fedbus.errors import Unavailable
from fedbus.runtime import Clock


class Loss(Enum):
    """What becomes of one request."""

    NOTHING = "nothing"
    REQUEST = "the request is lost"
    ANSWER = "the answer is lost"
    LATE = "it arrives after the next one"


ADRIFT: list[Loss] = [Loss.REQUEST] * 1000


class StillClock(Clock):
    """A clock that moves when a request is waited for, and never makes anybody wait."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._random = iter(range(1, 1 << 60))

    def now(self) -> float:
        self.seconds += 1e-6
        return self.seconds

    def monotonic(self) -> float:
        self.seconds += 0.7  # somebody who looks has waited since he looked last
        return self.seconds

    def random_bytes(self, size: int) -> bytes:
        return next(self._random).to_bytes(size, "big")

    def jitter(self) -> float:
        return -1 / 3  # takes every back-off to zero


class FakeBus(Connection):
    """One stream; `script` says what becomes of each request, then nothing is lost any more."""

    def __init__(self, script: Iterable[Loss], *, refuse: int = 0) -> None:
        super().__init__("fake")
        self.stream: list[Message] = []
        self._script: Iterator[Loss] = iter(script)
        self._refuse = refuse
        self._late: list[Callable[[], object]] = []
        self._batches: dict[str, list[tuple[str, bytes, dict[str, str]]]] = {}

    def plant(self, subject: str) -> None:
        """Store something that is not ours."""
        self._store(subject, b"", {})

    def arrive(self) -> None:
        """Let everything arrive that is still on its way."""
        late, self._late = self._late, []
        for one in late:
            one()

    def last(self, subject: str) -> Message | None:
        """Return the newest message of a subject."""
        return next((m for m in reversed(self.stream) if m.subject == subject), None)

    async def request(
        self, subject: str, data: bytes = b"", *, headers: Mapping[str, str] | None = None, timeout: float = 0
    ) -> Message:
        """Answer as the server would, unless the script says otherwise."""
        loss, late = next(self._script, Loss.NOTHING), self._late
        self._late = []
        answer: dict[str, Any] | Message | None = None
        if loss is Loss.LATE:
            self._late.append(lambda: self._serve(subject, data, dict(headers or {})))
        elif loss is not Loss.REQUEST:
            answer = self._serve(subject, data, dict(headers or {}))
        for one in late:
            one()
        if loss is not Loss.NOTHING:
            raise Unavailable("no answer", code="BUS_TIMEOUT")
        if isinstance(answer, Message):
            return answer
        return Message("", "", {}, json.dumps(answer).encode() if answer else b"")

    async def publish(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """Take a message without an answer; a lost one is lost silently."""
        if next(self._script, Loss.NOTHING) in (Loss.NOTHING, Loss.ANSWER):
            self._serve(subject, data, dict(headers or {}))

    def _serve(self, subject: str, data: bytes, headers: dict[str, str]) -> dict[str, Any] | Message | None:
        if subject == "$JS.API.STREAM.MSG.GET.POLICY":
            return self._read(json.loads(data)["last_by_subj"])
        if self._refuse:
            return _error(self._refuse)
        batch = headers.get("Nats-Batch-Id")
        staged = self._batches.setdefault(batch, []) if batch else []
        staged.append((subject, data, headers))
        if batch and int(headers["Nats-Batch-Sequence"]) != len(staged):
            del self._batches[batch]
            return _error(10999)
        if batch and "Nats-Batch-Commit" not in headers:
            return None
        return self._commit(staged, batch)

    def _read(self, subject: str) -> dict[str, Any]:
        found = self.last(subject)
        if found is None:
            return _error(10037)
        lines = "".join(f"{name}: {value}\r\n" for name, value in found.headers.items())
        headers = base64.b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode()
        return {"message": {"subject": subject, "seq": found.seq, "hdrs": headers, "time": ""}}

    def _commit(self, staged: list[tuple[str, bytes, dict[str, str]]], batch: str | None) -> dict[str, Any]:
        for subject, _, headers in staged:
            known = [m for m in self.stream if m.headers.get("Nats-Msg-Id") == headers["Nats-Msg-Id"]]
            if known:
                return _error(10201) if batch else {"seq": known[0].seq, "duplicate": True}
            newest = self.last(subject)
            if int(headers["Nats-Expected-Last-Subject-Sequence"]) != (newest.seq if newest else 0):
                return _error(10071)
        for subject, data, headers in staged:
            self._store(subject, data, headers)
        return {"seq": len(self.stream)}

    def _store(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        seq = len(self.stream) + 1
        self.stream.append(Message(subject, "", headers | {"Nats-Sequence": str(seq)}, data, seq))


def _error(code: int) -> dict[str, Any]:
    return {"error": {"code": 400, "err_code": code, "description": f"error {code}"}}
