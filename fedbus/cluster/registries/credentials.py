"""What opens registries, encrypted on disk, apart from everything that is shown or federated.

registries/key            the key, 0600; without it the other file says nothing
registries/credentials    the credentials of each registry, sealed for its name (AES-256-GCM)
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedbus.errors import Unavailable
from fedbus.pki import files
from fedbus.runtime import Clock

Change = Callable[[dict[str, str]], dict[str, str]]
"""What makes other credentials of those that are held."""

_NONCE = 12
_KEY = 32


class CredentialStore:
    """The credentials of all registries of a cluster, by registry and field."""

    def __init__(self, data_dir: Path, clock: Clock) -> None:
        self._directory, self._clock = data_dir / "registries", clock
        self._changing = asyncio.Lock()
        self._changes: Counter[str] = Counter()

    async def get(self, name: str) -> dict[str, str]:
        """Return the credentials of a registry by field. Raises Unavailable if they cannot be read."""
        sealed = (await asyncio.to_thread(self._load)).get(name)
        return {} if sealed is None else await asyncio.to_thread(self._open, name, sealed)

    async def names(self) -> dict[str, int]:
        """Return the registries that credentials are held of, and how often each was changed here."""
        async with self._changing:
            return {name: self._changes[name] for name in await asyncio.to_thread(self._load)}

    async def remove(self, name: str, changes: int) -> None:
        """Drop the credentials of a registry, unless they were changed since `names` said so."""
        async with self._changing:
            if self._changes[name] == changes:
                await asyncio.to_thread(self._put, name, None)

    @contextlib.asynccontextmanager
    async def changed(self, name: str, change: Change, *, fresh: bool) -> AsyncIterator[None]:
        """Hold other credentials from now on; what is done inside failing, those from before again.

        They are there before the registry is, so that it never is without. `fresh` drops what a registry
        of this name had.
        """
        async with self._changing:
            self._changes[name] += 1
            before = await asyncio.to_thread(self._load)
            held = {} if fresh or name not in before else await self.get(name)
            await asyncio.to_thread(self._put, name, change(held))
            try:
                yield
            except BaseException:
                self._save(before)  # at once: a cancelled request waits for nothing
                raise

    def _put(self, name: str, secrets: dict[str, str] | None) -> None:
        held = self._load()
        if secrets:
            held[name] = self._seal(name, secrets)
        elif held.pop(name, None) is None:
            return
        self._save(held)

    def _seal(self, name: str, secrets: dict[str, str]) -> bytes:
        nonce = self._clock.random_bytes(_NONCE)
        return nonce + AESGCM(self._key()).encrypt(nonce, msgspec.json.encode(secrets), name.encode())

    def _open(self, name: str, sealed: bytes) -> dict[str, str]:
        try:
            plain = AESGCM(self._key()).decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode())
            return msgspec.json.decode(plain, type=dict[str, str])
        except (InvalidTag, ValueError) as error:
            raise Unavailable(
                f"the credentials of the registry {name!r} cannot be decrypted",
                code="CREDENTIALS_UNREADABLE",
                remedy="give them again: `fedbus registry add --update`",
            ) from error

    def _key(self) -> bytes:
        file = files.make_directory(self._directory) / "key"
        if not file.exists():
            files.write(file, self._clock.random_bytes(_KEY))
        return file.read_bytes()[:_KEY]

    @property
    def _file(self) -> Path:
        return self._directory / "credentials"

    def _load(self) -> dict[str, bytes]:
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=dict[str, bytes])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            raise Unavailable(
                f"{self._file} cannot be read: {error}",
                code="CREDENTIALS_UNREADABLE",
                remedy="restore the file, or delete it and give the credentials again",
            ) from error

    def _save(self, held: Mapping[str, bytes]) -> None:
        files.make_directory(self._directory)
        try:
            files.write(self._file, msgspec.msgpack.encode(held))
        except OSError as error:
            raise Unavailable(f"{self._file} cannot be written: {error}") from error
