"""Every criterion with every operator: a workload that meets it, and one that does not."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from fedbus.core.admission.criteria import CRITERIA, SCANNED, criterion
from fedbus.core.admission.facts import Subject
from fedbus.core.admission.rule import CompiledRule
from fedbus.core.policy_rules.admission_criteria import CRITERIA as OFFERED
from fedbus.core.policy_rules.admission_criteria import CUSTOM_OPERATORS
from fedbus.model.policy.admission import AdmissionCriterion
from tests.support import admission as support
from tests.support.admission import pod, report, subject

Asked = tuple[str, str, str, dict[str, Any]]
Case = tuple[Asked, Subject, Subject]


def ask(name: str, op: str = "", value: str = "", *subs: tuple[str, str, str], **fields: Any) -> Asked:
    return name, op, value, {"subs": subs, **fields}


def both(name: str, ops: tuple[str, str], value: str, yes: Subject, no: Subject) -> Iterator[Case]:
    """Yield two operators of which one is met exactly where the other is not."""
    yield ask(name, ops[0], value), yes, no
    yield ask(name, ops[1], value), no, yes


def set4(name: str, value: str, *subjects: Subject) -> Iterator[Case]:
    """Yield the four operators on sets: a subject with all values, one, one and another, and none."""
    all_, one, other, none = subjects
    yield ask(name, "containsAll", value), all_, one
    yield ask(name, "containsAny", value), one, none
    yield ask(name, "notContainsAny", value), none, one
    yield ask(name, "containsOtherThan", value), other, all_


def truth(name: str, yes: Subject, no: Subject) -> Iterator[Case]:
    yield ask(name, "=", "true"), yes, no
    yield ask(name, "=", "false"), no, yes


def image(text: str) -> Subject:
    return subject(pod(text))


def labelled(**labels: str) -> Subject:
    return subject(pod(metadata={"labels": labels}))


def annotated(**annotations: str) -> Subject:
    return subject(pod(metadata={"annotations": annotations}))


def env(**variables: str) -> Subject:
    return subject(pod(container={"env": [{"name": n, "value": v} for n, v in variables.items()]}))


def mounting(*paths: str) -> Subject:
    return subject(
        pod(
            container={"volumeMounts": [{"name": f"v{i}", "mountPath": "/m"} for i in range(len(paths))]},
            spec={"volumes": [{"name": f"v{i}", "hostPath": {"path": p}} for i, p in enumerate(paths)]},
        )
    )


def secured(**context: Any) -> Subject:
    return subject(pod(container={"securityContext": context}))


def scanned(**fields: Any) -> Subject:
    return subject(scan=report(**fields))


def vulnerable(*severities: str, **fields: Any) -> Subject:
    return scanned(
        vulnerabilities=[
            {"name": f"CVE-{i}", "severity": severity, "package_name": "x", **fields}
            for i, severity in enumerate(severities)
        ]
    )


def named(*names: str) -> Subject:
    return scanned(vulnerabilities=[{"name": name} for name in names])


def modules(**versions: str) -> Subject:
    return scanned(modules=[{"name": n, "version": v, "ecosystem": "deb"} for n, v in versions.items()])


def resources(**limits: str) -> Subject:
    return subject(pod(container={"resources": {"limits": limits}}))


def requesting(**requests: str) -> Subject:
    return subject(pod(container={"resources": {"requests": requests}}))


def claiming(*classes: str) -> Subject:
    return subject(storage_classes=classes)


FINE = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def counts() -> Iterator[Case]:
    for name, severity, other in (
        ("cveCriticalCount", "Critical", "High"),
        ("cveHighCountNoCritical", "High", "Critical"),
        ("cveHighCount", "Critical", "Medium"),
        ("cveMediumCount", "Medium", "High"),
    ):
        yield ask(name, ">=", "2"), vulnerable(severity, severity), vulnerable(severity, other)
        yield ask(name, "<=", "1"), vulnerable(severity, other), vulnerable(severity, severity)
        old, new = vulnerable(severity, days_ago=40), vulnerable(severity, days_ago=20)
        yield ask(name, ">=", "1", ("publishDays", ">=", "30")), old, new
    for name, severity, other in (
        ("cveCriticalWithFixCount", "Critical", "High"),
        ("cveHighWithFixCountNoCritical", "High", "Critical"),
        ("cveHighWithFixCount", "High", "Low"),
    ):
        fixed, unfixed = vulnerable(severity, fixed_version="2"), vulnerable(severity)
        yield ask(name, ">=", "1"), fixed, unfixed
        yield ask(name, ">=", "1"), fixed, vulnerable(other, fixed_version="2")
        yield ask(name, "<=", "0"), unfixed, fixed
        aged = ("publishDays", ">=", "30")
        yield ask(name, ">=", "1", aged), vulnerable(severity, fixed_version="2", days_ago=31), unfixed


def custom(op: str, value: str, place: tuple[str, str], yes: Any, no: Any) -> Case:
    asked = ask("mine", op, value, type="customPath", value_type=place[0], path=place[1])
    return asked, subject(pod(spec=yes)), subject(pod(spec=no))


def custom_paths() -> Iterator[Case]:
    grace = "item.spec.terminationGracePeriodSeconds"
    for kind in CUSTOM_OPERATORS:
        yield custom("exist", "", (kind, "item.spec.hostname"), {"hostname": "a"}, {})
        yield custom("notExist", "", (kind, "item.spec.hostname"), {}, {"hostname": "a"})
    args = "item.spec.containers.0.args"
    yield custom("containsAll", "a,b", ("string", args), _args("a", "b", "c"), _args("a"))
    yield custom("containsAny", "a?,b", ("string", args), _args("ax", "c"), _args("c", "a"))
    yield custom("notContainsAny", "a,b", ("string", args), _args("c"), _args("c", "a"))
    yield custom("containsOtherThan", "a,b*", ("string", args), _args("a", "c"), _args("a", "bb"))
    for op, yes, no in (("=", 3, 4), ("!=", 4, 3), (">=", 3, 2), (">", 4, 3), ("<=", 3, 4)):
        key = "terminationGracePeriodSeconds"
        yield custom(op, "3", ("number", grace), {key: yes}, {key: no})
    field = "item.spec.enableServiceLinks"
    yield custom("=", "true", ("boolean", field), {"enableServiceLinks": True}, {"enableServiceLinks": False})


def _args(*args: str) -> Mapping[str, Any]:
    return {"containers": [{"name": "app", "image": "nginx", "args": list(args)}]}


CASES: list[Case] = [
    *both("image", ("containsAny", "notContainsAny"), "nginx:1.*", image("nginx:1.25"), image("nginx:2")),
    *both(
        "imageRegistry", ("containsAny", "notContainsAny"), "https://ghcr.io/", image("ghcr.io/a"), image("a")
    ),
    *both(
        "namespace",
        ("containsAny", "notContainsAny"),
        "prod-*",
        subject(namespace="prod-a"),
        subject(namespace="dev"),
    ),
    *both("user", ("containsAny", "notContainsAny"), "jane,joe", subject(user="joe"), subject(user="ann")),
    *both("user", ("regex", "!regex"), "^sys, o$", subject(user="system:x"), subject(user="ann")),
    *set4(
        "userGroups",
        "a,b",
        subject(user="u", groups=("a", "b")),
        subject(user="u", groups=("a",)),
        subject(user="u", groups=("a", "c")),
        subject(user="u", groups=("c",)),
    ),
    *both(
        "userGroups",
        ("regex", "!regex"),
        "^adm",
        subject(user="u", groups=("x", "admins")),
        subject(user="u", groups=("x",)),
    ),
    *set4("labels", "a=1,b", labelled(a="1", b="x"), labelled(a="1"), labelled(a="1", c=""), labelled(a="2")),
    *set4(
        "annotations", "a=1*,b", annotated(a="12", b="x"), annotated(b=""), annotated(c="1"), annotated(a="2")
    ),
    *set4("envVars", "A=1,B", env(A="1", B="x"), env(A="1"), env(A="1", C=""), env(A="2")),
    *set4(
        "mountVolumes",
        "/etc*,/var",
        mounting("/etc/x", "/var"),
        mounting("/var"),
        mounting("/opt"),
        mounting(),
    ),
    *set4(
        "cveNames", "cve-1,CVE-2*", named("CVE-1", "CVE-23"), named("CVE-1"), named("CVE-1", "X"), named("X")
    ),
    *counts(),
    (
        ask("cveScoreCount", ">=", "7"),
        vulnerable("Low", score=1, score_v3=7.0),
        vulnerable("Critical", score=6.9),
    ),
    (
        ask("cveScoreCount", ">=", "7", ("count", ">=", "2")),
        vulnerable("Low", "High", score=7.5),
        vulnerable("High", score=9),
    ),
    *truth("imageScanned", scanned(), subject()),
    *truth("imageSigned", scanned(signature={"verifiers": ["root1/v1"]}), scanned()),
    *[
        case
        for case in set4(
            "imageVerifiers",
            "r/a,r/b",
            scanned(signature={"verifiers": ["r/a", "r/b"]}),
            scanned(signature={"verifiers": ["r/a"]}),
            scanned(),
            scanned(signature={"verifiers": ["r/c"]}),
        )
        if case[0][1] != "containsOtherThan"
    ],
    *truth("imageCompliance", scanned(secrets=[{"type": "key"}]), scanned(secrets=[])),
    *truth("imageCompliance", scanned(setid_perms=[{"type": "setuid"}]), scanned(secrets=[])),
    *truth("imageNoOS", scanned(), scanned(base_os="alpine:3.19")),
    *set4(
        "modules",
        "openssl>=3,bash=5.*",
        modules(openssl="3.1", bash="5.2"),
        modules(openssl="3.0"),
        modules(openssl="3.1", curl="8"),
        modules(openssl="1.1", bash="4"),
    ),
    (ask("modules", "containsAny", "openssl<3"), modules(openssl="1.1"), modules(openssl="3")),
    (ask("modules", "containsAny", "openssl>3"), modules(openssl="3.1"), modules(openssl="3")),
    (ask("modules", "containsAny", "openssl<=3"), modules(openssl="3"), modules(openssl="3.1")),
    (ask("modules", "containsAny", "openssl"), modules(openssl=""), modules(curl="8")),
    *truth("envVarSecrets", env(K="AKIA" + "ABCDEFGH23456723"), env(K="v")),
    *truth("runAsPrivileged", secured(privileged=True), secured()),
    *truth("runAsRoot", secured(runAsUser=0), secured(runAsUser=1000)),
    *truth("runAsRoot", scanned(run_as_root=True), scanned(run_as_root=False)),
    (ask("allowPrivEscalation", "=", "true"), secured(allowPrivilegeEscalation=True), secured()),
    (ask("allowPrivEscalation", "=", "true"), secured(privileged=True), secured(runAsUser=0)),
    (
        ask("allowPrivEscalation", "=", "true"),
        secured(capabilities={"add": ["CAP_SYS_ADMIN"]}),
        secured(capabilities={"add": ["NET_ADMIN"]}),
    ),
    *truth("sharePidWithHost", subject(host_pid=True), subject(host_ipc=True)),
    *truth("shareIpcWithHost", subject(host_ipc=True), subject(host_network=True)),
    *truth("shareNetWithHost", subject(host_network=True), subject(host_pid=True)),
    (ask("pspCompliance", "=", "true"), subject(host_ipc=True), secured(runAsUser=1)),
    (ask("violatePssPolicy", "=", "baseline"), subject(host_ipc=True), secured(runAsUser=0)),
    (ask("violatePssPolicy", "=", "restricted"), secured(**FINE, runAsUser=0), secured(**FINE)),
    (ask("resourceLimit", "", "", ("cpuLimit", ">", "1")), resources(cpu="1500m"), resources(cpu="1")),
    (ask("resourceLimit", "", "", ("cpuRequest", "<=", "0")), subject(), resources(cpu="1")),
    (ask("resourceLimit", "", "", ("memoryLimit", "<=", "0")), subject(), resources(memory="1")),
    (
        ask("resourceLimit", "", "", ("memoryLimit", ">", "1024")),
        resources(memory="2Ki"),
        resources(memory="1Ki"),
    ),
    (
        ask("resourceLimit", "", "", ("memoryRequest", ">", "1e9")),
        requesting(memory="1Gi"),
        requesting(memory="1G"),
    ),
    (
        ask("resourceLimit", "", "", ("cpuLimit", ">", "8"), ("memoryLimit", "<=", "0")),
        resources(cpu="1"),
        resources(cpu="1", memory="1Gi"),
    ),
    *both("storageClassName", ("containsAny", "notContainsAny"), "fast", claiming("fast"), claiming("slow")),
    (
        ask("x", "containsTagAny", "risky_role_create_pod", type="saBindRiskyRole"),
        subject(risky_roles=("risky_role_create_pod",)),
        subject(risky_roles=("risky_role_view_secret",)),
    ),
    *custom_paths(),
]


def compiled(asked: Asked) -> Any:
    name, op, value, fields = asked
    return criterion(msgspec.convert(support.criterion(name, op, value, **fields), AdmissionCriterion))


def _id(case: Case) -> str:
    (name, op, value, fields), _, _ = case
    return " ".join([fields.get("type", name), fields.get("value_type", ""), op, value])


@pytest.mark.parametrize("case", CASES, ids=map(_id, CASES))
def test_a_criterion_is_met_and_not_met(case: Case) -> None:
    asked, yes, no = case
    one = compiled(asked)

    assert one.holds(yes) is True
    assert one.holds(no) is False
    assert one.observed(yes)
    assert one.observed(no)


def test_no_criterion_and_no_operator_is_left_out() -> None:
    asked = {(f.get("type") or name, f.get("value_type", ""), op) for (name, op, _, f), _, _ in CASES}
    offered = {
        (name, "", op)
        for name, offer in OFFERED.items()
        for op in (*(offer.deny or ()), *(offer.allow or ()))
    }
    custom_ops = {("customPath", kind, op) for kind, ops in CUSTOM_OPERATORS.items() for op in ops}

    assert asked == offered | custom_ops
    assert {name for name, _, _ in asked} == CRITERIA.keys()


@pytest.mark.parametrize("case", CASES, ids=map(_id, CASES))
def test_without_a_scan_what_only_a_scan_knows_is_unknown(case: Case) -> None:
    asked, yes, _ = case
    bare = Subject(yes.workload, yes.container, None)
    unknown = compiled(asked).holds(bare) is None

    if asked[0] in SCANNED:
        assert unknown is (asked[0] != "imageScanned")
    elif asked[0] not in ("runAsRoot", "pspCompliance"):
        assert not unknown
    assert compiled(asked).observed(bare)


def holds(name: str, op: str, value: str, seen: Subject, *subs: tuple[str, str, str]) -> bool | None:
    found: bool | None = compiled(ask(name, op, value, *subs)).holds(seen)
    return found


def test_an_age_is_reached_on_the_day() -> None:
    age = ("publishDays", ">=", "30")

    assert holds("cveMediumCount", ">=", "1", vulnerable("Medium", days_ago=30), age)
    assert not holds("cveMediumCount", ">=", "1", vulnerable("Medium", days_ago=29), age)


def test_what_nobody_dated_counts_as_two_years_old() -> None:
    undated = vulnerable("Medium")

    assert holds("cveMediumCount", ">=", "1", undated, ("publishDays", ">=", "730"))
    assert not holds("cveMediumCount", ">=", "1", undated, ("publishDays", ">=", "731"))


def test_an_unknown_severity_counts_by_its_score_alone() -> None:
    strange = vulnerable("Unknown", "Negligible", score=9)

    assert not holds("cveHighCount", ">=", "1", strange)
    assert holds("cveScoreCount", ">=", "9", strange, ("count", ">=", "2"))


def test_entries_of_one_pair_are_one_with_the_worst_of_each() -> None:
    pair = {"name": "A", "severity": "High", "package_name": "x"}
    twice = scanned(
        vulnerabilities=[
            {**pair, "score": 5, "days_ago": 40},
            {**pair, "score": 8, "fixed_version": "2", "days_ago": 3},
        ]
    )

    assert not holds("cveHighCount", ">=", "2", twice)
    assert holds("cveScoreCount", ">=", "8", twice)
    assert holds("cveHighWithFixCount", ">=", "1", twice, ("publishDays", ">=", "40"))


def test_what_the_workload_sets_hides_the_image_s_own_variable() -> None:
    image = report(envs=["MODE=debug", "HOME=/root"])
    manifest = pod(container={"env": [{"name": "MODE", "value": "safe"}]})
    seen = subject(manifest, image)

    assert not holds("envVars", "containsAny", "MODE=debug", seen)
    assert holds("envVars", "containsAll", "MODE=safe,HOME=/root", seen)


def test_a_label_of_workload_and_image_keeps_both_values() -> None:
    seen = subject(pod(metadata={"labels": {"a": "1"}}), report(labels={"a": "2"}))

    assert holds("labels", "containsAll", "a=1,a=2", seen)


def test_a_module_without_a_version_that_can_be_read_is_neither_older_nor_newer() -> None:
    strange = scanned(modules=[{"name": "openssl", "version": "(devel)", "ecosystem": "golang"}])

    for item in ("openssl<9", "openssl>0", "openssl>=0", "openssl<=9"):
        assert not holds("modules", "containsAny", item, strange)
    assert holds("modules", "containsAny", "openssl", strange)


def test_without_a_scan_nobody_knows_whether_an_image_runs_as_root() -> None:
    assert holds("runAsRoot", "=", "true", subject()) is None
    assert holds("runAsRoot", "=", "true", secured(runAsUser=1)) is False
    assert holds("pspCompliance", "=", "true", subject()) is None
    assert holds("pspCompliance", "=", "true", subject(host_ipc=True)) is True


@pytest.mark.parametrize(
    ("ops", "seen", "expected"),
    [
        (("containsAny a", "containsAny b"), ["a"], True),
        (("containsAny a", "containsAny b"), ["c"], False),
        (("notContainsAny a", "notContainsAny b"), ["c"], True),
        (("notContainsAny a", "notContainsAny b"), ["b"], False),
        (("notContainsAny a", "notContainsAny b", "containsAny b"), ["b"], True),
        (("containsAny x", "notContainsAny a", "notContainsAny b"), ["b"], True),
    ],
)
def test_criteria_of_one_name_are_alternatives_unless_all_are_negative(
    ops: tuple[str, ...], seen: list[str], expected: bool
) -> None:
    criteria = [dict(zip(("op", "value"), op.split(), strict=True), name="cveNames") for op in ops]
    compiled_rule = CompiledRule(support.rule(*criteria), "local", "protect")

    assert compiled_rule.matches(named(*seen)) is expected
    assert compiled_rule.matches(subject()) is None


def test_an_alternative_that_holds_outweighs_one_that_is_unknown() -> None:
    root = {"name": "runAsRoot", "op": "=", "value": "true"}
    user = {"name": "runAsRoot", "op": "=", "value": "false"}
    either = CompiledRule(support.rule(root, user), "local", "protect")

    assert either.matches(subject()) is None
    assert either.matches(secured(runAsUser=0)) is True
