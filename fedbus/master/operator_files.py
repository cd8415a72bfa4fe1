"""What the operator of an external bus lends a federation, as files that the settings name."""

from pathlib import Path

from fedbus.core import connectivity
from fedbus.errors import FedbusError, InvalidInput
from fedbus.pki import ca, nkeys
from fedbus.pki.credentials import Credentials
from fedbus.pki.keyring import Operator
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.settings import MasterSettings


def lent(settings: MasterSettings) -> Operator | None:
    """Read them; None where the settings name none, and the bus is of the federation's own operator.

    They are read at every start and never copied, so that the operator can replace them.
    Raises Unavailable: FILES_UNREADABLE or FILES_DAMAGED, naming the file, and nothing of what is in it.
    """
    key_file, system_file = settings.bus_operator_key_file, settings.bus_system_credentials_file
    if key_file is None or system_file is None or settings.bus_ca_file is None:
        return None
    return Operator(
        signing=_signing_key(key_file),
        system=_credentials(system_file),
        ca_pem=_certificate(settings.bus_ca_file),
    )


def secrets(settings: MasterSettings) -> list[Path]:
    """Return those of the files that hold a secret."""
    named = (settings.bus_operator_key_file, settings.bus_system_credentials_file)
    return [path for path in named if path is not None]


def _signing_key(path: Path) -> KeyPair:
    try:
        keys = KeyPair(_read(path).decode("ascii", errors="replace").strip())
    except InvalidInput as error:
        raise _damaged(path, f"holds no seed: {error.message}") from None
    if not nkeys.is_public_key(keys.public_key, KeyType.OPERATOR):
        raise _damaged(path, "holds a seed that is no operator's (those begin with SO)")
    return keys


def _credentials(path: Path) -> Credentials:
    _read(path)
    try:
        found = Credentials.load(path)
        if found.seed:
            KeyPair(found.seed)
    except InvalidInput as error:
        raise _damaged(path, f"holds no usable credentials: {error.message}") from None
    if not found.seed:
        raise _damaged(path, "holds a JWT and no seed")
    return found


def _certificate(path: Path) -> bytes:
    pem = _read(path)
    try:
        ca.client_context(pem)
    except InvalidInput:
        raise _damaged(path, "holds no PEM certificate") from None
    if (count := pem.count(b"-----BEGIN CERTIFICATE-----")) != 1:
        raise _damaged(path, f"holds {count} certificates; it must be one, since a join token carries it")
    return pem


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        unreadable = f"{path} cannot be read: {error.strerror}"
        raise connectivity.error("FILES_UNREADABLE", unreadable) from error


def _damaged(path: Path, what: str) -> FedbusError:
    return connectivity.error("FILES_DAMAGED", f"{path} {what}")
