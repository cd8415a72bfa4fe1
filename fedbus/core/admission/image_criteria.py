"""Criteria on what an image is called: by repository, tag and registry."""

from fedbus.core.admission.criterion import Criterion, Unusable, on_text
from fedbus.core.admission.facts import Subject
from fedbus.core.admission.patterns import NEGATIVE, Match, wildcard
from fedbus.core.image_reference import LIBRARY, host_of, is_host
from fedbus.core.policy_rules.checks import items
from fedbus.model.policy.admission import AdmissionCriterion
from fedbus.model.review import DOCKER_HUB, ImageReference


def image(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on the image's name; each value says how much of the name it is about."""
    if source.op not in ("containsAny", "notContainsAny"):
        raise Unusable(f"image has no operator {source.op!r}")
    matches = [_Value(item).matches for item in items(source.value)]
    asked = source.op == "containsAny"

    def holds(subject: Subject) -> bool:
        reference = subject.container.image
        for match in matches:
            if match(reference):
                return asked
        return not asked

    return Criterion(
        source, source.name, holds, lambda s: s.container.image.text, positive=source.op not in NEGATIVE
    )


class _Value:
    """A value of the criterion: it names a registry or not, and a tag or digest or not.

    What Docker Hub keeps under `library/` may be called without that.
    """

    def __init__(self, text: str) -> None:
        rest = text.removeprefix("https://").removeprefix("http://")
        first, slash, tail = rest.partition("/")
        self._registry: Match | None = None
        if slash and is_host(first):
            self._registry, rest = wildcard(host_of(first)), tail
        rest, at, digest = rest.partition("@")
        name, colon, tag = rest.rpartition(":")
        self._repository = wildcard((name if colon else rest).lower())
        self._tag = wildcard(tag) if colon else None
        self._digest = wildcard(digest) if at else None

    def matches(self, image: ImageReference) -> bool:
        """Tell whether the image is called so."""
        if self._tag is not None and not self._tag(image.tag):
            return False
        if self._digest is not None and not self._digest(image.digest):
            return False
        if self._registry is not None and not self._registry(image.registry):
            return False
        if self._repository(image.repository):
            return True
        official = image.registry == DOCKER_HUB and image.repository.startswith(LIBRARY)
        return official and self._repository(image.repository.removeprefix(LIBRARY))


def registry(source: AdmissionCriterion) -> Criterion:
    """Return a criterion on where the image lies: hosts or addresses; Docker Hub's names are one."""
    values = ",".join(host_of(item) for item in items(source.value))
    plain = AdmissionCriterion(name=source.name, op=source.op, value=values)
    asked = on_text(plain, lambda s: s.container.image.registry)
    return Criterion(source, source.name, asked.holds, asked.observed, asked.cost, asked.positive)
