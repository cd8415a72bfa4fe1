"""The cases of tests/data/admission/vectors.yaml: counting, names, precedence, modes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from fedbus.model.policy.admission import AdmissionRule
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from tests.support.admission import decide, pod, report, rule

DATA = Path(__file__).parents[2] / "data" / "admission"
VECTORS = yaml.safe_load((DATA / "vectors.yaml").read_text())


def rules(case: dict[str, Any], scope: str, first: int) -> list[AdmissionRule]:
    return [
        rule(*spec["criteria"], **{"id": first + index} | {k: v for k, v in spec.items() if k != "criteria"})
        for index, spec in enumerate(case.get(scope, ()))
    ]


def test_every_vector_of_the_reference_is_here_but_look_up() -> None:
    assert {case["vector"] for case in VECTORS} == set(range(1, 20))


@pytest.mark.parametrize("case", VECTORS, ids=[f"{case['vector']}: {case['why']}" for case in VECTORS])
def test_the_decision_is_the_one_written_down(case: dict[str, Any]) -> None:
    more = [
        {"name": f"more{index}", "image": image} for index, image in enumerate(case.get("more_images", ()))
    ]
    manifest = pod(
        case.get("image", "nginx:1.25"),
        namespace=case.get("namespace", "shop"),
        metadata={"labels": case.get("labels", {})},
    )
    manifest["spec"]["template"]["spec"]["containers"] += more

    decision = decide(
        manifest,
        fed=rules(case, "fed", 100_001),
        local=rules(case, "local", 1),
        reports=[report(**case["scan"])] if "scan" in case else [],
        mode=case.get("mode", "protect"),
        accepted=[msgspec.convert(one, VulnerabilityEntry) for one in case.get("accepted", ())],
    )

    last = decision.containers[-1]
    assert decision.allowed is case["allowed"]
    assert (last.decided_by.rule if last.decided_by else 0) == case.get("by", 0)
    assert [one.rule for one in last.violations] == case.get("violations", [])
    assert [one.rule for one in last.skipped] == case.get("skipped", [])
    assert bool(decision.message) is not case["allowed"]
