"""What a failed connection means: the dozen types that nats-py, ssl and asyncio raise, as codes."""

import errno
import socket
import ssl

import nats.errors

from fedbus.core import connectivity
from fedbus.errors import FedbusError

_MAX_CAUSES = 8
_EXPIRED, _NOT_YET, _WRONG_HOST, _WRONG_IP = 10, 9, 62, 64
"""OpenSSL's verification results (X509_V_ERR_*)."""
_OF_VERIFICATION = {
    _EXPIRED: "TLS_EXPIRED",
    _NOT_YET: "TLS_EXPIRED",
    _WRONG_HOST: "TLS_WRONG_NAME",
    _WRONG_IP: "TLS_WRONG_NAME",
}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
"""What OpenSSL calls an answer that is no TLS at all."""


def explain(error: BaseException, where: str) -> FedbusError:
    """Return what a failure to connect to `where` means, by the table of codes."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) and len(causes) < _MAX_CAUSES:
        causes.append(cause)
    code = _code(error, causes)
    said = str(error) or type(error).__name__
    match code:
        case "TLS_PLAINTEXT":
            message = f"the server at {where} does not speak TLS, so it is not the federation's bus: {said}"
        case "TLS_UNTRUSTED" | "TLS_WRONG_NAME" | "TLS_EXPIRED":
            message = f"the server at {where} did not prove that it is the federation's bus: {said}"
        case "BUS_UNAUTHORIZED":
            message = f"the bus at {where} refused the credentials"
        case _:
            message = f"no bus answers at {where}: {said}"
    return connectivity.error(code, message)


def _code(error: BaseException, causes: list[BaseException]) -> str:
    code = next((code for cause in causes if (code := _of_type(cause))), "")
    if code:
        return code
    text = str(error).lower()
    unauthorized = isinstance(error, nats.errors.AuthorizationError)
    if unauthorized or "authorization" in text or "authentication" in text:
        return "BUS_UNAUTHORIZED"
    return "TCP_TIMEOUT" if isinstance(error, TimeoutError) else "BUS_UNREACHABLE"


def _of_type(cause: BaseException) -> str:
    match cause:
        case ssl.SSLCertVerificationError():
            return _OF_VERIFICATION.get(cause.verify_code, "TLS_UNTRUSTED")
        case ssl.SSLError():
            return "TLS_PLAINTEXT" if _plaintext(cause) else "TLS_UNTRUSTED"
        case socket.gaierror():
            return "NAME_UNRESOLVED"
        case ConnectionRefusedError():
            return "TCP_REFUSED"
        case OSError() if cause.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return "TCP_UNREACHABLE"
    return ""


def _plaintext(error: ssl.SSLError) -> bool:
    said = str(error).upper().replace(" ", "_")
    return any(word in said for word in _NO_TLS)
