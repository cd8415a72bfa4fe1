"""NATS JSON web tokens, version 2: the operator, its accounts, their users.

Pure: the time and every key are arguments. A token's `jti` is the hash of its claims, so the same
claims give the same token. Times are whole seconds since 1970, as NATS has them. Source of the claims:
NATS jwt v2 (`operator_claims.go`, `account_claims.go`, `user_claims.go`).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from fedbus.errors import InvalidInput
from fedbus.pki import nkeys
from fedbus.pki.nkeys import KeyPair, KeyType
from fedbus.pki.roles import UNLIMITED, Scope, Share

Claims = dict[str, Any]


class Exporter(NamedTuple):
    """An account that shares, and a signing key of it that says with whom."""

    account: str
    signer: KeyPair


_ALGORITHM: Final = "ed25519-nkey"
_VERSION: Final = 2
_SECOND: Final = 1_000_000_000
# A name is put into subject templates: a dot or a wildcard in it would open other subjects.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Used where a JWT should carry no right of its own: an empty permission means "everything" to NATS.
_NOTHING: Final[Claims] = {"pub": {"deny": [">"]}, "sub": {"deny": [">"]}}


def operator(
    *, name: str, keys: KeyPair, signing_keys: Collection[str], system_account: str, now: float
) -> str:
    """Mint the self-signed operator JWT, the trust anchor in the server's configuration.

    `signing_keys` are the public keys that may sign accounts for it, so that its own key can be offline.
    """
    nats = {
        "type": "operator",
        "version": _VERSION,
        "signing_keys": sorted(signing_keys),
        "system_account": system_account,
    }
    return _encode({"sub": keys.public_key, "name": name, "nats": nats}, keys, now)


def account(
    *,
    name: str,
    public_key: str,
    signer: KeyPair,
    now: float,
    scopes: Mapping[str, Scope] | None = None,
    revocations: Mapping[str, int] | None = None,
    jetstream: bool = False,
    exports: Collection[Share] = (),
    imports: Collection[Share] = (),
    imports_from: "Exporter | None" = None,
    closed: bool = False,
) -> str:
    """Mint an account JWT, signed by the operator or one of its signing keys.

    `scopes` maps public signing keys to what users signed by them may do; a user signed by any other
    key may do nothing. `revocations` maps user keys to a time: their JWTs issued up to then are dead.
    `imports` are of `imports_from`. A `closed` account lets nobody in. There are no leaf nodes.
    """
    nats: Claims = {
        "type": "account",
        "version": _VERSION,
        "limits": _account_limits(jetstream=jetstream)
        | {"imports": len(imports), "exports": len(exports)}
        | ({"conn": 0} if closed else {}),
        "default_permissions": _NOTHING if scopes is not None else {"pub": {}, "sub": {}},
    }
    if scopes:
        nats["signing_keys"] = [_scope(key, scope) for key, scope in sorted(scopes.items())]
    if exports:
        nats["exports"] = [_export(share) for share in exports]
    if imports and imports_from is not None:
        nats["imports"] = [_import(share, public_key, imports_from) for share in imports]
    if revocations:
        nats["revocations"] = dict(sorted(revocations.items()))
    return _encode({"sub": public_key, "name": name, "nats": nats}, signer, now)


def user(
    *, name: str, public_key: str, account_key: str, signer: KeyPair, now: float, expires: float | None
) -> str:
    """Mint the JWT of a user whose rights come from the scope of `signer`, under that name.

    Raises InvalidInput when the name could widen a subject template or the key is not a user's.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot be part of a subject",
            code="NAME_INVALID",
            remedy="use letters, digits, - and _, at most 64",
        )
    if not nkeys.is_public_key(public_key, KeyType.USER):
        raise InvalidInput("the public key is not a NATS user key", code="KEY_MALFORMED")
    nats = {"type": "user", "version": _VERSION, "issuer_account": account_key}
    claims: Claims = {"sub": public_key, "name": name, "nats": nats}
    if expires is not None:
        claims["exp"] = int(expires)
    return _encode(claims, signer, now)


def system_user(*, name: str, public_key: str, account_keys: KeyPair, now: float) -> str:
    """Mint the JWT of an unlimited user of the system account: it pushes account JWTs."""
    nats = {"type": "user", "version": _VERSION, "subs": UNLIMITED, "data": UNLIMITED, "payload": UNLIMITED}
    return _encode({"sub": public_key, "name": name, "nats": nats}, account_keys, now)


def decode_claims(token: str) -> Claims:
    """Read the claims WITHOUT checking the signature. Raises InvalidInput for anything but a NATS JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidInput("not a JWT", code="JWT_MALFORMED")
    header, claims = (_decode_part(part) for part in parts[:2])
    if header.get("alg") != _ALGORITHM:
        raise InvalidInput("not a NATS JWT", code="JWT_MALFORMED")
    if not isinstance(claims.get("sub"), str) or not isinstance(claims.get("iss"), str):
        raise InvalidInput("the JWT has no subject or issuer", code="JWT_MALFORMED")
    return claims


def same_claims(token: str, other: str) -> bool:
    """Tell whether two JWTs say the same, whenever it was; what is none says nothing. Checks no signature."""
    try:
        return bool(decode_claims(token)["nats"] == decode_claims(other)["nats"])
    except (InvalidInput, KeyError):
        return False


def verify(token: str, issuers: Collection[str]) -> Claims:
    """Read the claims of a JWT signed by one of these keys; expiry is not judged here.

    Raises InvalidInput when it is malformed, altered, or signed by anybody else.
    """
    claims = decode_claims(token)
    signed, _, signature = token.rpartition(".")
    issuer = claims["iss"]
    if issuer not in issuers or not nkeys.verify(issuer, signed.encode(), _decode_base64(signature)):
        raise InvalidInput("the JWT is not signed by a trusted key", code="JWT_UNTRUSTED")
    return claims


def _encode(claims: Claims, signer: KeyPair, now: float) -> str:
    body = claims | {"iat": int(now), "iss": signer.public_key}
    digest = hashlib.sha256(msgspec.json.encode(body, order="sorted")).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    header = msgspec.json.encode({"typ": "JWT", "alg": _ALGORITHM})
    signed = f"{_encode_base64(header)}.{_encode_base64(msgspec.json.encode(body))}"
    return f"{signed}.{_encode_base64(signer.sign(signed.encode()))}"


def _account_limits(*, jetstream: bool) -> Claims:
    limits: Claims = {
        "subs": UNLIMITED,
        "data": UNLIMITED,
        "payload": UNLIMITED,
        "conn": UNLIMITED,
        "leaf": 0,
        "wildcards": True,
    }
    if jetstream:
        # Without these the server leaves JetStream off for the account, or falls back to its own defaults,
        # of which 1,000 consumers in a stream is one.
        limits |= dict.fromkeys(
            ("mem_storage", "disk_storage", "streams", "consumer", "max_ack_pending"), UNLIMITED
        )
    return limits


def _export(share: Share) -> Claims:
    claims: Claims = {"name": share.subject, "subject": share.subject, "token_req": True}
    if share.stream:
        return claims | {"type": "stream"}
    return claims | {"type": "service", "response_type": "Stream" if share.many_answers else "Singleton"}


def _import(share: Share, importer: str, exporter: Exporter) -> Claims:
    kind = "stream" if share.stream else "service"
    activation: Claims = {
        "type": "activation",
        "version": _VERSION,
        "subject": share.subject,
        "kind": kind,
        "issuer_account": exporter.account,
    }
    return {
        "name": share.subject,
        "subject": share.subject,
        "local_subject": share.local,
        "account": exporter.account,
        "type": kind,
        # always of the same date, so that an account that has not changed has the same claims
        "token": _encode({"sub": importer, "nats": activation}, exporter.signer, now=1),
    }


def _scope(public_key: str, scope: Scope) -> Claims:
    return {
        "kind": "user_scope",
        "key": public_key,
        "role": scope.role,
        "template": {
            "pub": {"allow": list(scope.publish)},
            "sub": {"allow": list(scope.subscribe)},
            **({"resp": {"max": 1, "ttl": scope.answers_within * _SECOND}} if scope.answers_within else {}),
            "subs": scope.max_subscriptions,
            "data": UNLIMITED,
            "payload": scope.max_payload,
            "bearer_token": scope.bearer,
            # a worker's credential opens neither a leaf node nor a WebSocket
            "allowed_connection_types": ["STANDARD"],
        },
    }


def _decode_part(part: str) -> Claims:
    try:
        return msgspec.json.decode(_decode_base64(part), type=Claims)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # the latter for bad UTF-8 in a string
        raise InvalidInput("the JWT does not hold JSON", code="JWT_MALFORMED") from error


def _encode_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("the JWT is not base64", code="JWT_MALFORMED") from error
