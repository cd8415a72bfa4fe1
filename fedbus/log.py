"""Logs: one event a line, for people on a terminal and as JSON anywhere else; secrets masked.

An event's name is a constant word, its facts are keys: `log.info("policy_applied", version=3)`.
Every library's log goes the same way, so it is masked as well.
"""

import logging
import re
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK = "****"

_SECRET_KEY = re.compile(
    r"(^|[_-])(token|password|passwd|secret|seed|jwt|authorization|credentials?|cookie|api[_-]?key|apikey"
    r"|private[_-]?key)$",
    re.IGNORECASE,
)
# What gives a secret away wherever it stands: base64 of a JSON object (a JWT, a join token), an
# NKEY seed, a PEM private key, a user and password in a URL.
_SECRET_TEXT = re.compile(
    r"eyJ[A-Za-z0-9+/=_.-]{24,}"
    r"|\bS[AUOCNX][A-Z2-7]{56}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",
    re.DOTALL,
)


def set_up(level: str = "info", *, stream: TextIO | None = None) -> None:
    """Send all logs of `level` and above to `stream` (standard error): console on a tty, else JSON."""
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                _renderer(tty=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    logging.getLogger("asyncio").addFilter(_not_noise)


def _not_noise(record: logging.LogRecord) -> bool:
    """Leave out what asyncio says of every TLS-first session that ends."""
    return "eof_received" not in record.getMessage()


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Mask what must not be in a log: values under secret keys, and secrets inside texts."""
    return {key: MASK if _SECRET_KEY.search(key) and value else masked(value) for key, value in event.items()}


def masked(value: object) -> object:
    """Return `value` with every secret in it masked, through lists and mappings."""
    match value:
        case str():
            return _SECRET_TEXT.sub(MASK, value)
        case bytes():
            return _SECRET_TEXT.sub(MASK, value.decode("utf-8", "replace"))
        case dict():
            return {k: MASK if _SECRET_KEY.search(str(k)) and v else masked(v) for k, v in value.items()}
        case list() | tuple():
            return [masked(item) for item in value]
        case BaseException():
            return _SECRET_TEXT.sub(MASK, f"{type(value).__name__}: {value}")
    return value


def _renderer(*, tty: bool) -> Processor:
    if tty:
        return structlog.dev.ConsoleRenderer(colors=True)
    return structlog.processors.JSONRenderer()
