"""The way every rule is tested: a spec in, the faults by field out."""

from collections.abc import Callable, Mapping

import pytest

from fedbus.core.policy_input import parse
from fedbus.core.policy_rules import faults

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]


@pytest.fixture
def faults_in() -> FaultsIn:
    """Return the faults that a spec of a kind has, message by field."""

    def check(kind: str, spec: Mapping[str, object]) -> dict[str, str]:
        return {fault.field: fault.message for fault in faults(parse(kind, spec))}

    return check
