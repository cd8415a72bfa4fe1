"""Rules for registries and webhooks: what the federation talks to."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from fedbus.core.policy_rules.checks import is_web_address, own_name_faults, wrong
from fedbus.core.registry.access import MASK, PARTS, SECRETS
from fedbus.core.registry.filters import Filter, FilterError
from fedbus.errors import Fault
from fedbus.model.policy.registry import Registry
from fedbus.model.policy.scope import Scope
from fedbus.model.policy.webhook import Webhook

INTERVALS = range(300, 604_801)
"""Seconds between periodical scans: five minutes to a week."""

_AWS, _OPENSHIFT, _JFROG = "Amazon ECR Registry", "OpenShift Registry", "JFrog Artifactory"
_GITLAB = "Gitlab"


def webhook_faults(webhook: Webhook, scope: Scope) -> Iterator[Fault]:
    """Check a webhook: its name and address."""
    yield from own_name_faults("name", webhook.name, scope)
    if not is_web_address(webhook.url):
        yield wrong("url", "must be an http:// or https:// address")


def registry_faults(registry: Registry, scope: Scope) -> Iterator[Fault]:
    """Check a registry: name, address, filters, schedule, and that it holds no credential."""
    yield from own_name_faults("name", registry.name, scope)
    yield from _address_faults(registry)
    yield from _filter_faults(registry)
    yield from _schedule_faults(registry)
    yield from _secret_faults(registry)
    if registry.domains:
        yield wrong("domains", "must be empty: a federated registry belongs to no namespace")
    if registry.registry_type == _JFROG and not registry.jfrog_mode:
        yield wrong("jfrog_mode", "must be 'Repository Path', 'Subdomain' or 'Port'")


def _address_faults(registry: Registry) -> Iterator[Fault]:
    kind, address = registry.registry_type, registry.registry
    if address or kind != _AWS:
        if not is_web_address(address):
            yield wrong("registry", "must be an http:// or https:// address")
        elif "@" in urlsplit(address).netloc:
            yield wrong("registry", "must hold no name and no password: they have fields of their own")
        elif kind == _GITLAB and not address.startswith("https://"):
            yield wrong("registry", "must start with https:// for Gitlab")
    external = registry.gitlab_external_url
    if kind == _GITLAB and external != MASK and not is_web_address(external):
        yield wrong("gitlab_external_url", "must be an http:// or https:// address")


def _filter_faults(registry: Registry) -> Iterator[Fault]:
    if not registry.filters:
        yield wrong("filters", "must hold at least one filter such as org/repository:tag")
    for index, text in enumerate(registry.filters):
        try:
            Filter.read(text, registry.registry_type)
        except FilterError as error:
            yield wrong(f"filters[{index}]", f"must be organisation/repository:tag: {error}")


def _schedule_faults(registry: Registry) -> Iterator[Fault]:
    schedule, openshift = registry.schedule.schedule, registry.registry_type == _OPENSHIFT
    allowed = ("manual", "auto") if openshift else ("manual", "periodical")
    if schedule not in allowed:
        yield wrong(
            "schedule.schedule",
            f"must be {' or '.join(allowed)} for {registry.registry_type}, not {schedule!r}",
        )
    elif schedule == "periodical" and registry.schedule.interval not in INTERVALS:
        yield wrong(
            "schedule.interval",
            f"must be from {INTERVALS.start} to {INTERVALS.stop - 1} seconds, "
            f"not {registry.schedule.interval}",
        )


def _secret_faults(registry: Registry) -> Iterator[Fault]:
    held = [(name, getattr(registry, name)) for name in SECRETS]
    for part, names in PARTS.items():
        inner = getattr(registry, part)
        held += [(f"{part}.{name}", getattr(inner, name)) for name in names] if inner else []
    for field, value in held:
        if value not in ("", MASK):
            yield wrong(field, f"must be empty or '{MASK}': credentials are kept apart, and never federated")
