"""The vulnerability profile: which vulnerabilities of an image nobody counts."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from fedbus.core.admission.patterns import Match, Patterns, wildcard
from fedbus.core.image_reference import hosts
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.review import ImageReference
from fedbus.model.scan import Vulnerability

RECENT = "_RecentVuln"
RECENT_WITHOUT_FIX = "_RecentVulnWithoutFix"
REMEMBERED = 256
"""For how many sets of entries it is remembered what they accept."""
_DAY = 86_400.0


class IsAccepted(msgspec.Struct, frozen=True, eq=False):
    """Whether a vulnerability is left out, at a time (Unix seconds) if the answer is ever another."""

    ask: Callable[[Vulnerability, float], bool]
    hangs_on_time: bool

    def __call__(self, vulnerability: Vulnerability, now: float) -> bool:
        """Tell whether a vulnerability is left out."""
        return self.ask(vulnerability, now)


class _Entry:
    def __init__(self, entry: VulnerabilityEntry) -> None:
        self.domains = Patterns(entry.domains) if entry.domains else None
        self.images = Patterns(entry.images) if entry.images else None
        self.recent = entry.days * _DAY if entry.name in (RECENT, RECENT_WITHOUT_FIX) else None
        self.unfixed_only = entry.name == RECENT_WITHOUT_FIX
        self.name = entry.name.upper()

    def concerns(self, namespace: str, image: ImageReference) -> bool:
        """Tell whether the entry is about this image in this namespace."""
        if self.domains is not None and not self.domains.has(namespace):
            return False
        images = self.images
        return images is None or any(images.has(name) for name in image_names(image))

    def is_recent(self, vulnerability: Vulnerability, now: float) -> bool:
        """Tell whether the vulnerability is so new that the entry leaves it out; without a date it is old."""
        published = vulnerability.published_timestamp
        if self.recent is None or not published or (self.unfixed_only and vulnerability.fixed_version):
            return False
        return now - published < self.recent


class Accepted:
    """The entries of the profiles, federated and local: each one leaves out what it names."""

    def __init__(self, entries: Iterable[VulnerabilityEntry]) -> None:
        self._entries = tuple(_Entry(entry) for entry in entries)
        self._found: dict[tuple[_Entry, ...], IsAccepted] = {}

    def of(self, namespace: str, image: ImageReference) -> IsAccepted | None:
        """Return what is accepted of one image in one namespace, None for nothing; the same for the same."""
        entries = tuple(entry for entry in self._entries if entry.concerns(namespace, image))
        if not entries:
            return None
        found = self._found.get(entries)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[entries] = _accepted(entries)
        return found


def _accepted(entries: Sequence[_Entry]) -> IsAccepted:
    recent = [entry for entry in entries if entry.recent is not None]
    names = [entry.name for entry in entries if entry.recent is None]
    literal = frozenset(names)
    wild: tuple[Match, ...] = tuple(wildcard(name) for name in names if "*" in name)

    def accepted(vulnerability: Vulnerability, now: float) -> bool:
        name = vulnerability.name.upper()
        if name in literal or any(match(name) for match in wild):
            return True
        return any(entry.is_recent(vulnerability, now) for entry in recent)

    return IsAccepted(accepted, hangs_on_time=bool(recent))


def image_names(image: ImageReference) -> list[str]:
    """Return every way in which a rule or entry may write an image: with and without registry and tag."""
    endings = [
        "",
        *([f":{image.tag}"] if image.tag else []),
        *([f"@{image.digest}"] if image.digest else []),
    ]
    repositories = [f"{host}/{image.repository}" for host in hosts(image.registry)]
    repositories += [f"https://{name}" for name in repositories]
    repositories += [image.repository]
    return [name + ending for name in repositories for ending in endings]
