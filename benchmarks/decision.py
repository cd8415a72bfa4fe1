"""One admission decision with 500 federated and 500 local rules, none of which decides: all are asked.

Floor: asking as many rules that each answer at once. `anew` is an image that was not asked about before: its
scan is counted first; of the last ones asked about the counts are kept. All times are of the processor: who
else uses it does not count.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import Figure, figure, percentile
from fedbus.core.admission.policy import Policy
from fedbus.core.workload import workload_of
from fedbus.model.policy.admission import AdmissionRule, AdmissionState
from fedbus.model.review import Workload
from fedbus.model.scan import Report

RULES = 500
ROUNDS = 2_000
NOW = 1_790_000_000.0
US = 1e6
"""Seconds to microseconds."""
_DAY = 86_400


def criteria(number: int) -> list[dict[str, Any]]:
    """Return criteria of one of ten shapes; every one of them misses the workload, most at the last step."""
    old = [{"name": "publishDays", "op": ">=", "value": "30"}]
    here = {"name": "namespace", "op": "notContainsAny", "value": f"sandbox-{number}-*"}
    shapes: list[list[dict[str, Any]]] = [
        [{"name": "namespace", "op": "containsAny", "value": f"team-{number}"}],
        [here, {"name": "image", "op": "containsAny", "value": f"registry.example.com/team{number}/*"}],
        [here, {"name": "cveHighCount", "op": ">=", "value": str(1000 + number), "sub_criteria": old}],
        [here, {"name": "cveNames", "op": "containsAny", "value": f"CVE-2030-{number},CVE-2031-{number}"}],
        [{"name": "labels", "op": "containsAny", "value": f"tier={number},risk"}],
        [{"name": "imageRegistry", "op": "containsAny", "value": f"https://r{number}.example.com/"}],
        [{"name": "modules", "op": "containsAny", "value": f"openssl<1.{number},log4j-{number}"}],
        [here, {"name": "runAsPrivileged", "op": "=", "value": "true"}],
        [{"name": "user", "op": "regex", "value": f"^system:serviceaccount:ci-{number}:.*$"}],
        [{"name": "cveHighWithFixCount", "op": ">=", "value": str(1000 + number)}],
    ]
    return shapes[number % len(shapes)]


def _rules(first: int, cfg_type: str) -> list[AdmissionRule]:
    return [
        msgspec.convert(
            {"id": first + number, "rule_type": "deny", "cfg_type": cfg_type, "criteria": criteria(number)},
            AdmissionRule,
        )
        for number in range(RULES)
    ]


def _workload() -> Workload:
    container = {"name": "app", "image": "registry.example.com/shop/web:1.4"}
    spec = {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}}
    return workload_of(
        {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}, user="jane"
    )


def _report() -> Report:
    severities = ("Critical", "High", "Medium", "Low")
    vulnerabilities = [
        {
            "name": f"CVE-2026-{number}",
            "severity": severities[number % 4],
            "package_name": f"package-{number % 60}",
            "fixed_version": "2.0" if number % 3 else "",
            "published_timestamp": int(NOW) - number * _DAY,
        }
        for number in range(200)
    ]
    modules = [{"name": f"package-{n}", "version": f"1.{n}", "source": "alpine:3.19"} for n in range(300)]
    modules.append({"name": "openssl", "version": "3.1.4-r2", "source": "alpine:3.19"})
    return msgspec.convert(
        {"digest": "sha256:" + "00" * 32, "vulnerabilities": vulnerabilities, "modules": modules}, Report
    )


async def measure(_: Path) -> list[Figure]:
    """Return the time of a decision on a scanned and on an unscanned image, and of compiling the rules."""
    began = time.thread_time()
    policy = Policy(
        _rules(100_001, "federal"),
        _rules(1, "user_created"),
        state=AdmissionState(enable=True, mode="protect"),
    )
    compiling = time.thread_time() - began
    assert not policy.unusable
    workload = _workload()
    scans = {workload.containers[0].image.text: [_report()]}
    questions: list[Callable[[Workload], bool]] = [lambda _: False] * (2 * RULES)

    def floor() -> None:
        for ask in questions:
            if ask(workload):
                raise AssertionError

    def scanned() -> None:
        assert policy.decide(workload, scans, NOW).containers[0].decided_by is None

    def anew() -> None:
        unseen = {
            image: [msgspec.structs.replace(report) for report in held] for image, held in scans.items()
        }
        assert policy.decide(workload, unseen, NOW).containers[0].decided_by is None

    def unscanned() -> None:
        assert policy.decide(workload, {}, NOW).containers[0].decided_by is None

    samples = _in_turns([floor, scanned, unscanned, anew])
    lowest, p50, bare, first = (percentile(times, 50) * US for times in samples)
    return [
        figure("decision, 1,000 rules, scanned image, p50", p50, "us", lowest),
        figure("decision, 1,000 rules, scanned image, p99", percentile(samples[1], 99) * US, "us"),
        figure("decision, 1,000 rules, scanned image anew, p50", first, "us", lowest),
        figure("decision, 1,000 rules, scanned image anew, p99", percentile(samples[3], 99) * US, "us"),
        figure("decision, 1,000 rules, unscanned image, p50", bare, "us", lowest),
        figure("compiling 1,000 rules", compiling * 1e3, "ms"),
    ]


def _in_turns(calls: list[Callable[[], None]]) -> list[list[float]]:
    samples: list[list[float]] = [[] for _ in calls]
    gc.collect()
    for _ in range(ROUNDS):
        for call, times in zip(calls, samples, strict=True):
            began = time.thread_time()
            call()
            times.append(time.thread_time() - began)
    return samples
