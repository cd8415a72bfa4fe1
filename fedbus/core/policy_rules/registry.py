"""Rules for registries and webhooks: what the federation talks to."""

import re
from collections.abc import Iterator

from fedbus.core.policy_rules.checks import is_web_address, own_name_faults, regex_error, wrong
from fedbus.errors import Fault
from fedbus.model.policy.registry import Registry
from fedbus.model.policy.scope import Scope
from fedbus.model.policy.webhook import Webhook

MASK = "****"
"""What stands in a federated registry where the master holds a credential."""
INTERVALS = range(300, 604_801)
"""Seconds between periodical scans: five minutes to a week."""

_AWS, _OPENSHIFT, _JFROG = "Amazon ECR Registry", "OpenShift Registry", "JFrog Artifactory"
_GITLAB, _IBM, _GITHUB = "Gitlab", "IBM Cloud Container Registry", "GitHub Container Registry"

_SECRETS = (
    "username",
    "password",
    "auth_token",
    "gitlab_private_token",
    "ibm_cloud_token_url",
    "ibm_cloud_account",
)
_AWS_SECRETS = ("id", "access_key_id", "secret_access_key")

_ORGANISATION = re.compile(r"[a-zA-Z0-9.\-_]*")
_BARE_STAR = re.compile(r"(?<![.\])])\*")


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
        elif kind == _GITLAB and not address.startswith("https://"):
            yield wrong("registry", "must start with https:// for Gitlab")
    external = registry.gitlab_external_url
    if kind == _GITLAB and external != MASK and not is_web_address(external):
        yield wrong("gitlab_external_url", "must be an http:// or https:// address")


def _filter_faults(registry: Registry) -> Iterator[Fault]:
    if not registry.filters:
        yield wrong("filters", "must hold at least one filter such as org/repository:tag")
    for index, text in enumerate(registry.filters):
        if error := _filter_error(text, registry.registry_type):
            yield wrong(f"filters[{index}]", f"must be organisation/repository:tag: {error}")


def _filter_error(text: str, kind: str) -> str:
    organisation, slash, rest = text.partition("/")
    if not slash:
        organisation, rest = "", text
    repository, colon, tag = rest.partition(":")
    repository, tag = repository.strip(), tag.strip()
    if not _ORGANISATION.fullmatch(organisation):
        return f"the organisation {organisation!r} may hold letters, digits and . - _ only"
    if kind == _OPENSHIFT and not organisation and text != "*":
        return "OpenShift needs the organisation"
    if kind == _GITHUB and text.strip() in ("*", "*:*"):
        return "GitHub cannot list every repository, '*' alone is not possible"
    if not repository or (colon and not tag):
        return "neither the repository nor a tag after the colon may be empty"
    for part in (repository, tag):
        if error := regex_error(_BARE_STAR.sub(".*", part)):
            return error
    return ""


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
    held = [(name, getattr(registry, name)) for name in _SECRETS]
    if registry.aws_key:
        held += [(f"aws_key.{name}", getattr(registry.aws_key, name)) for name in _AWS_SECRETS]
    if registry.gcr_key:
        held.append(("gcr_key.json_key", registry.gcr_key.json_key))
    for field, value in held:
        if value not in ("", MASK):
            yield wrong(field, f"must be empty or '{MASK}': credentials are never federated")
