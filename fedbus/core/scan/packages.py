"""Packages: what a package URL says, and the ecosystem by the words that scanners use for it."""

from urllib.parse import unquote

import msgspec

from fedbus.core.ecosystems import ECOSYSTEMS

FIX_EXISTS, WILL_NOT_FIX, UNPATCHED, UNAFFECTED = "fix exists", "will not fix", "unpatched", "unaffected"
"""NeuVector's words for what is known of a vulnerability of a module."""

_STATUS = {
    "fixed": FIX_EXISTS,
    "fix_exists": FIX_EXISTS,
    "will_not_fix": WILL_NOT_FIX,
    "wont_fix": WILL_NOT_FIX,
    "end_of_life": WILL_NOT_FIX,
    "not_fixed": UNPATCHED,
    "affected": UNPATCHED,
    "fix_deferred": UNPATCHED,
    "unpatched": UNPATCHED,
    "not_affected": UNAFFECTED,
    "unaffected": UNAFFECTED,
}


class Purl(msgspec.Struct, frozen=True, gc=False):
    """A package URL, as far as it names a package: `name` has the namespace before it where there is one."""

    type: str
    namespace: str
    bare: str
    version: str
    qualifiers: str = ""

    @property
    def name(self) -> str:
        """Namespace and name, as the ecosystem joins them (`group:artifact` for Maven)."""
        if not self.namespace:
            return self.bare
        return f"{self.namespace}{':' if self.type == 'maven' else '/'}{self.bare}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a scanner may call the package: a distribution's packages have no namespace there."""
        return (self.bare, self.name) if self.namespace else (self.bare,)


def purl(text: str | None) -> Purl | None:
    """Read a package URL; None for what is none."""
    if not text or not text.startswith("pkg:") or len(text) > 4096:
        return None
    rest, _, _subpath = text[4:].partition("#")
    rest, _, qualifiers = rest.partition("?")
    kind, slash, path = rest.lstrip("/").partition("/")
    path, at, version = path.rpartition("@") if "@" in path.rpartition("/")[2] else (path, "", "")
    namespace, _, name = path.strip("/").rpartition("/")
    if not (kind and slash and name):
        return None
    return Purl(kind.lower(), unquote(namespace), unquote(name), unquote(version) if at else "", qualifiers)


def ecosystem(url: str | None, *words: str | None) -> str:
    """Return the type of a package URL, or the one that the first known of a scanner's words stands for."""
    if url and url.startswith("pkg:"):
        return url[4:68].partition("/")[0].lower()
    return next((found for word in words if word and (found := ECOSYSTEMS.get(word.lower()))), "")


def fix_status(word: str | None, fixed_version: str) -> str:
    """Return NeuVector's word for a scanner's (`will_not_fix`, `wont-fix`, ...), or by the fixed version."""
    known = _STATUS.get((word or "").strip().lower().replace("-", "_").replace(" ", "_"), "")
    return FIX_EXISTS if fixed_version and known != WILL_NOT_FIX else known or UNPATCHED
