"""nats-py's client, made to survive messages that are no text, and to give up when it should.

A subject may hold any byte but blanks and line ends, and a header block any byte at all. nats-py 2.16
decodes both strictly in its read loop, which then ends without closing the connection, and takes a
vertical tab for the end of a subject. One such message in a stream would stop every reader of it for
ever, since each new session meets it again (measured); and every worker can have the server store one,
because the server does not check where a requested reply goes.
"""

import re
from typing import Any

import nats.aio.client
import nats.aio.msg
import nats.protocol.parser

# Blanks alone separate the fields, at times two of them.
nats.protocol.parser.MSG_RE = re.compile(
    rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n"
)
nats.protocol.parser.HMSG_RE = re.compile(
    rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([^ \t\r\n]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n"
)


class Client(nats.aio.client.Client):
    """A client whose messages may say anything; the reader of a message judges it, not the connection."""

    async def _select_next_server(self) -> None:
        """Try every server once; nats-py goes on for two minutes, whatever it is told about reconnecting."""
        failure: OSError = ConnectionError("there is no server to connect to")
        while self._server_pool:
            server = self._server_pool.pop(0)
            try:
                await self._connect_to_server(server)
            except OSError as error:
                failure = error
            else:
                self._current_server = server
                return
        raise failure

    async def _process_headers(self, headers: Any) -> dict[str, str] | None:
        """Parse a header block; one that does not parse is none."""
        try:
            return await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            return None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """Parse as nats-py does, which looks at every character of every name."""
        return parse_headers(raw)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> nats.aio.msg.Msg:
        """Make a message; a byte that is no text is written in hexadecimal, which no subject of ours has."""
        made: nats.aio.msg.Msg = super()._build_message(sid, _text(subject), _text(reply), data, headers)
        return made


def parse_headers(raw: bytes) -> dict[str, str]:
    """Parse the lines of a header block; what is no header is left out."""
    found = {}
    for line in raw.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon and name.isascii():
            key = name.strip().decode()
            if key.split() == [key]:  # no blank inside, and not empty
                found[key] = value.strip().decode(errors="replace")
    return found


def _text(raw: bytes) -> bytes:
    return raw.decode(errors="backslashreplace").encode()
