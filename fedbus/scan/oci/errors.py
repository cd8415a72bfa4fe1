"""What goes wrong between us and a registry, each with what to do."""

from fedbus.errors import FedbusError


class RegistryError(FedbusError):
    """A registry, or one answer of it, cannot be used; `code` says how.

    REGISTRY_UNREACHABLE, REGISTRY_TLS, REGISTRY_UNAUTHORIZED, REGISTRY_BUSY and REGISTRY_FAILED are about
    the registry; REGISTRY_ANSWER (no registry's answer), REGISTRY_PAGING, REGISTRY_TOO_LARGE, NAME_MISSING
    and the MANIFEST_* and DIGEST_MISMATCH ones about what was asked for.
    """

    code = "REGISTRY_FAILED"


def missing(what: str) -> RegistryError:
    """Return the error of something that the registry does not have."""
    return RegistryError(f"the registry has no {what}", code="NAME_MISSING")
