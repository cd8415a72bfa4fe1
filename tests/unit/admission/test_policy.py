"""The decision: order, modes, what is unknown, volume claims, debug containers, and what it says."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.admission.policy import REMEMBERED, Policy
from fedbus.core.admission.rule import OBSERVED_LENGTH
from fedbus.core.workload import MAX_CONTAINERS, MAX_VOLUMES, workload_of
from fedbus.model.decision import Decision
from fedbus.model.policy.admission import AdmissionRule
from fedbus.model.scan import Report
from tests.support.admission import DAY, NOW, criterion, decide, pod, report, rule, state

EVERYWHERE = criterion("namespace", "containsAny", "*")
NEEDS_SCAN = criterion("cveHighCount", ">=", "1")
HIGH = {"name": "CVE-1", "severity": "High", "package_name": "x"}
ALLOW = {"rule_type": "exception"}


def by(decision: Decision) -> int:
    decided = decision.containers[-1].decided_by
    return decided.rule if decided else 0


def test_the_rank_orders_rules_of_one_stage() -> None:
    allow_first = [rule(EVERYWHERE, id=2, rank="b"), rule(EVERYWHERE, id=1, rank="a")]

    assert by(decide(pod(), local=allow_first)) == 1


def test_rules_of_custom_resources_come_before_the_others_of_a_cluster() -> None:
    own = rule(EVERYWHERE, id=1000, cfg_type="user_created", **ALLOW)
    ground = rule(EVERYWHERE, id=110_000, cfg_type="ground")

    assert by(decide(pod(), local=[own, ground])) == 110_000


def test_a_rule_without_criteria_matches_nothing() -> None:
    assert decide(pod(), fed=[rule()]).containers[0].decided_by is None


def test_a_disabled_rule_has_no_say() -> None:
    assert decide(pod(), fed=[rule(EVERYWHERE, disable=True)]).allowed


def test_a_critical_mark_on_a_federated_rule_lifts_nothing() -> None:
    allow = rule(EVERYWHERE, id=100_001, critical=True, **ALLOW)
    deny = rule(EVERYWHERE, id=1, critical=True)

    assert by(decide(pod(), fed=[allow], local=[deny])) == 100_001
    assert by(decide(pod(), fed=[rule(EVERYWHERE, id=100_002)], local=[deny])) == 100_002


def test_nothing_is_denied_where_admission_is_off() -> None:
    policy = Policy([rule(EVERYWHERE)], state=state(enable=False))

    assert policy.decide(workload_of(pod()), {}, NOW) == Decision(allowed=True, mode="protect")


@pytest.mark.parametrize(
    ("containers", "denied"),
    [
        ([], {"containers"}),
        (["containers"], {"containers"}),
        (["init_containers"], {"init_containers"}),
        (["ephemeral_containers", "init_containers"], {"ephemeral_containers", "init_containers"}),
    ],
)
def test_a_rule_is_about_its_kinds_of_containers(containers: list[str], denied: set[str]) -> None:
    names = {"containers": "containers", "init_containers": "initContainers"}
    names["ephemeral_containers"] = "ephemeralContainers"
    deny = rule(criterion("image", "containsAny", "bad"), containers=containers)

    for kind, name in names.items():
        spec = {"containers": [{"name": "c", "image": "good"}], name: [{"name": "x", "image": "bad"}]}
        decision = decide(pod(kind="Pod", spec=spec), local=[deny])

        assert decision.allowed is (kind not in denied)


def test_what_runs_already_is_not_decided_again_but_debug_containers_are() -> None:
    running = pod(kind="Pod", metadata={"ownerReferences": [{"kind": "ReplicaSet", "name": "web"}]})
    running["status"] = {"phase": "Running"}
    deny = rule(EVERYWHERE, containers=["containers", "ephemeral_containers"])

    assert decide(running, fed=[deny]).allowed

    running["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]

    assert not decide(running, fed=[deny]).allowed


def test_a_pod_without_a_controller_is_decided_whatever_its_phase() -> None:
    assert not decide(pod(kind="Pod") | {"status": {"phase": "Running"}}, fed=[rule(EVERYWHERE)]).allowed


@pytest.mark.parametrize(
    ("rule_type", "on_unscanned", "mode", "allowed", "decided"),
    [
        ("deny", "skip", "protect", True, False),
        ("deny", "match", "protect", False, True),
        ("deny", "deny", "protect", False, True),
        ("deny", "match", "monitor", True, False),
        ("deny", "deny", "monitor", True, False),
        ("exception", "skip", "protect", True, False),
        ("exception", "match", "protect", True, True),
        ("exception", "deny", "protect", False, True),
        ("exception", "deny", "monitor", True, False),
    ],
)
def test_the_rule_says_what_becomes_of_it_without_a_scan(
    rule_type: str, on_unscanned: str, mode: str, allowed: bool, decided: bool
) -> None:
    one = rule(NEEDS_SCAN, id=7, rule_type=rule_type, on_unscanned=on_unscanned)

    decision = decide(pod(), local=[one], mode=mode)

    found = decision.containers[0]
    assert decision.allowed is allowed
    assert bool(found.decided_by) is decided
    assert [name.rule for name in found.skipped] == ([7] if on_unscanned == "skip" else [])
    assert [one.rule for one in found.violations] == ([7] if not decided and on_unscanned != "skip" else [])
    for result in (*found.violations, *([found.decided_by] if found.decided_by else [])):
        assert (result.truth, result.on_unscanned, result.scan) == ("unknown", on_unscanned, None)


def test_what_is_known_not_to_match_does_not_hang_on_a_scan() -> None:
    elsewhere = rule(criterion("namespace", "containsAny", "bank"), NEEDS_SCAN, on_unscanned="deny")
    other_image = rule(NEEDS_SCAN, criterion("image", "containsAny", "redis"), on_unscanned="deny")

    decision = decide(pod(), local=[elsewhere, other_image])

    assert decision.allowed
    assert decision.containers[0].skipped == ()


def test_a_scan_that_did_not_look_for_secrets_does_not_know() -> None:
    deny = rule(criterion("imageCompliance", "=", "true"), on_unscanned="deny")

    assert not decide(pod(), local=[deny], reports=[report()]).allowed
    assert decide(pod(), local=[deny], reports=[report(secrets=[])]).allowed


CLAIM = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data", "namespace": "shop"},
    "spec": {"storageClassName": "fast"},
}


@pytest.mark.parametrize(
    ("criteria", "fields", "allowed"),
    [
        ([criterion("storageClassName", "containsAny", "fast")], {}, False),
        ([criterion("storageClassName", "containsAny", "fast")], ALLOW, True),
        ([criterion("storageClassName", "notContainsAny", "slow"), EVERYWHERE], {}, False),
        (
            [
                criterion("storageClassName", "containsAny", "fast"),
                criterion("namespace", "containsAny", "bank"),
            ],
            {},
            True,
        ),
        ([EVERYWHERE], {}, True),
    ],
)
def test_volume_claims_are_denied_by_storage_class_and_namespace(
    criteria: list[Any], fields: dict[str, Any], allowed: bool
) -> None:
    decision = decide(CLAIM, local=[rule(*criteria, **fields)])

    assert decision.allowed is allowed
    assert ("PersistentVolumeClaim shop/data" in decision.message) is not allowed


@pytest.mark.parametrize("op", ["containsAny", "notContainsAny"])
def test_a_storage_class_is_not_asked_of_what_claims_nothing(op: str) -> None:
    deny = rule(criterion("storageClassName", op, "*"), EVERYWHERE)

    assert decide(pod(kind="StatefulSet"), local=[deny]).allowed
    assert decide(pod(), local=[deny]).allowed


def test_a_compliant_pod_is_not_denied_by_another_criterion_that_holds() -> None:
    deny = rule(EVERYWHERE, criterion("pspCompliance", "=", "true"))
    user = {"securityContext": {"runAsUser": 1000}}

    assert decide(pod(container=user), local=[deny]).allowed
    assert not decide(pod(container=user, spec={"hostPID": True}), local=[deny]).allowed


@pytest.mark.parametrize("name", ["user", "userGroups"])
@pytest.mark.parametrize("op", ["containsAny", "notContainsAny", "regex", "!regex"])
def test_nothing_is_said_of_a_user_whom_nobody_knows(name: str, op: str) -> None:
    policy = Policy(local=[rule(criterion(name, op, "a"))], state=state())

    assert policy.decide(workload_of(pod()), {}, NOW).allowed


def test_the_message_says_rule_criterion_value_image_and_scan() -> None:
    deny = rule(NEEDS_SCAN, id=100_001, comment="no highs")

    message = decide(pod("ghcr.io/team/app:1"), fed=[deny], reports=[report(vulnerabilities=[HIGH])]).message

    for part in (
        "Creation of Deployment shop/web is denied",
        "federated deny rule 100001",
        '"no highs"',
        "container app",
        "image ghcr.io/team/app:1",
        "cveHighCount >= 1",
        "observed: 1 (CVE-1)",
        "registry fed.hub, 1.0 days old",
    ):
        assert part in message


def test_a_dry_run_and_an_update_say_so() -> None:
    workload = workload_of(pod(), operation="UPDATE", dry_run=True)

    assert decide(workload, local=[rule(EVERYWHERE)]).message.startswith("<Server Dry Run> Update of")


def test_secret_values_are_in_no_answer() -> None:
    secret = "AKIA" + "ABCDEFGH23456723"
    env = {"env": [{"name": "KEY", "value": secret}]}
    rules = [
        rule(criterion("envVarSecrets", "=", "true"), id=1, rule_mode="monitor"),
        rule(criterion("envVars", "containsAny", f"KEY={secret[:4]}*"), id=2),
    ]

    decision = decide(pod(container=env), local=rules)

    assert not decision.allowed
    assert "KEY: AWS access key" in decision.warnings[0]
    assert secret not in f"{decision.message}{decision.warnings}"


def test_warnings_are_of_monitored_matches_and_unscanned_images_and_short() -> None:
    rules = [rule(EVERYWHERE, id=1, rule_mode="monitor", comment="c" * 400), rule(NEEDS_SCAN, id=2)]

    warnings = decide(pod(), local=rules).warnings

    assert [warning[:9] for warning in warnings] == ["monitored", "image ngi"]
    assert "1 rules (2)" in warnings[1]
    assert all(len(warning) <= 256 for warning in warnings)


def test_many_warnings_are_counted() -> None:
    warnings = decide(pod(), local=[rule(EVERYWHERE, id=n) for n in range(50)], mode="monitor").warnings

    assert len(warnings) == 16
    assert warnings[-1] == "and 35 more warnings about web"


def test_an_unscanned_image_is_no_news_where_no_rule_asks_for_scans() -> None:
    assert decide(pod(), local=[rule(criterion("image", "containsAny", "x"))]).warnings == ()


def test_a_rule_that_cannot_be_asked_is_set_aside_and_named() -> None:
    rules = [
        rule(criterion("tomorrow", "=", "true"), id=1),
        rule(criterion("image", "=", "x"), id=2),
        rule(criterion("user", "regex", "(?=x)"), id=3),
        rule(criterion("labels", "exist", "x"), id=4),
        rule(criterion("cveHighCount", ">=", "many"), id=5),
        rule(criterion("violatePssPolicy", "=", "privileged"), id=6),
        rule(criterion("x", "=", "1", type="customPath", value_type="", path="item.spec"), id=7),
        rule(criterion("runAsRoot", "=", "perhaps"), id=8),
        rule(criterion("resourceLimit", subs=[("diskLimit", ">", "1")]), id=9),
        rule(criterion("image", "containsAll", "a"), id=10),
        rule(criterion("cveScoreCount", ">=", "7", subs=[("days", ">=", "1")]), id=11),
        rule(criterion("x", "exist", type="customPath", path="request.spec"), id=12),
        rule(criterion("modules", "containsAny", "a=1=2"), id=13),
        rule(criterion("x", "=", "y", type="saBindRiskyRole"), id=14),
    ]
    policy = Policy(local=[*rules, rule(EVERYWHERE, id=99)], state=state())

    assert [one.name.rule for one in policy.unusable] == list(range(1, 15))
    assert all(one.reason for one in policy.unusable)
    assert by(policy.decide(workload_of(pod()), {}, NOW)) == 99


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+$", "(.*a){12}$"])
def test_no_expression_runs_for_ever(expression: str) -> None:
    policy = Policy(local=[rule(criterion("user", "regex", expression))], state=state())
    workload = workload_of(pod(), user="a" * 5_000 + "!")
    began = time.perf_counter()

    assert policy.decide(workload, {}, NOW).allowed
    assert time.perf_counter() - began < 1


def test_no_wildcard_runs_for_ever() -> None:
    policy = Policy(local=[rule(criterion("user", "containsAny", "*a" * 200 + "*b"))], state=state())
    began = time.perf_counter()

    assert policy.decide(workload_of(pod(), user="a" * 5_000), {}, NOW).allowed
    assert time.perf_counter() - began < 1


def test_an_assessment_says_what_every_rule_says_disabled_ones_too() -> None:
    policy = Policy(
        [rule(NEEDS_SCAN, id=100_001)],
        [rule(EVERYWHERE, id=1, disable=True), rule(criterion("image", "containsAny", "redis"), id=2)],
        state=state(),
    )

    results = policy.assess(workload_of(pod()), {}, NOW)

    assert [(one.rule, one.truth, one.disabled) for one in results] == [
        (100_001, "unknown", False),
        (1, "met", True),
        (2, "unmet", False),
    ]
    assert results[2].criteria[0].observed == "nginx:1.25"


def test_what_is_remembered_of_a_namespace_is_not_used_for_another_and_is_bounded() -> None:
    policy = Policy(local=[rule(criterion("namespace", "containsAny", "bad-*"))], state=state())

    for number in range(REMEMBERED + 10):
        assert not policy.decide(workload_of(pod(namespace=f"bad-{number}")), {}, NOW).allowed
        assert policy.decide(workload_of(pod(namespace=f"good-{number}")), {}, NOW).allowed
    assert len(policy._remembered) <= REMEMBERED


def many(containers: int, volumes: int = 0) -> dict[str, Any]:
    return pod(
        spec={
            "containers": [{"name": f"c{n}", "image": "nginx"} for n in range(containers)],
            "volumes": [{"name": f"v{n}", "emptyDir": {}} for n in range(volumes)],
        }
    )


@pytest.mark.parametrize(("containers", "volumes"), [(MAX_CONTAINERS + 5, 0), (1, MAX_VOLUMES + 5)])
def test_what_nobody_looks_at_does_not_pass_unseen(containers: int, volumes: int) -> None:
    deny_nothing = [rule(criterion("image", "containsAny", "redis"))]

    denied = decide(many(containers, volumes), local=deny_nothing)
    monitored = decide(many(containers, volumes), local=deny_nothing, mode="monitor")

    assert not denied.allowed
    assert "500 containers and 1000 volumes" in denied.message
    assert monitored.allowed
    assert monitored.warnings == (denied.message,)
    assert decide(many(containers, volumes)).allowed
    assert decide(many(MAX_CONTAINERS, MAX_VOLUMES), local=deny_nothing).allowed


def test_what_was_observed_is_kept_in_part() -> None:
    long = pod(metadata={"annotations": {"a": "x" * 10_000}})

    decided = (
        decide(long, local=[rule(criterion("annotations", "containsAny", "a"))]).containers[0].decided_by
    )

    assert decided is not None
    assert len(decided.criteria[0].observed) == OBSERVED_LENGTH


criteria_of = st.sampled_from(
    [
        EVERYWHERE,
        NEEDS_SCAN,
        criterion("namespace", "containsAny", "bank"),
        criterion("namespace", "notContainsAny", "shop"),
        criterion("image", "containsAny", "nginx"),
        criterion("imageScanned", "=", "false"),
        criterion("runAsRoot", "=", "true"),
    ]
)


@st.composite
def rules_of(draw: st.DrawFn, first: int) -> list[AdmissionRule]:
    drawn = draw(
        st.lists(st.tuples(st.lists(criteria_of, min_size=1, max_size=3), st.booleans()), max_size=5)
    )
    modes = st.sampled_from(["", "monitor", "protect"])
    return [
        rule(
            *criteria,
            id=first + index,
            rule_type="exception" if allows else "deny",
            rule_mode="" if allows else draw(modes),
            on_unscanned=draw(st.sampled_from(["skip", "match", "deny"])),
            rank=draw(st.sampled_from("abc")),
        )
        for index, (criteria, allows) in enumerate(drawn)
    ]


scans = st.sampled_from([[], [report()], [report(vulnerabilities=[HIGH], run_as_root=True)]])
modes = st.sampled_from(["monitor", "protect"])


@given(rules_of(100_001), rules_of(1), scans, modes)
def test_a_federated_denial_is_never_overridden_by_a_local_permission(
    fed: Sequence[AdmissionRule], local: Sequence[AdmissionRule], held: Sequence[Report], mode: str
) -> None:
    alone = decide(pod(), fed=fed, reports=held, mode=mode)

    together = decide(pod(), fed=fed, local=local, reports=held, mode=mode)

    if not alone.allowed:
        assert not together.allowed
        assert by(together) == by(alone)
    if by(alone):
        assert by(together) == by(alone)


@given(rules_of(100_001), rules_of(1), scans, modes)
def test_the_decision_is_that_of_the_first_decisive_rule_of_an_assessment(
    fed: Sequence[AdmissionRule], local: Sequence[AdmissionRule], held: Sequence[Report], mode: str
) -> None:
    policy = Policy(fed, local, state=state(mode))
    workload = workload_of(pod(), user="jane")
    reports = {workload.containers[0].image.text: held}

    decision = policy.decide(workload, reports, NOW)

    expected, allowed, violations = 0, True, []
    for one in policy.assess(workload, reports, NOW):
        applies = one.truth == "met" or (one.truth == "unknown" and one.on_unscanned != "skip")
        allows = one.rule_type == "exception" and not (one.truth == "unknown" and one.on_unscanned == "deny")
        if applies and (allows or one.mode == "protect"):
            expected, allowed = one.rule, allows
            break
        if applies:
            violations.append(one.rule)
    assert (by(decision), decision.allowed) == (expected, allowed)
    assert [one.rule for one in decision.containers[0].violations] == violations


@given(rules_of(100_001), rules_of(1), scans)
def test_a_cluster_that_monitors_denies_by_no_rule_without_a_mode_of_its_own(
    fed: Sequence[AdmissionRule], local: Sequence[AdmissionRule], held: Sequence[Report]
) -> None:
    followers = [one for one in (*fed, *local) if one.rule_mode != "protect"]

    assert decide(pod(), local=followers, reports=held, mode="monitor").allowed


def test_age_is_counted_from_the_time_of_the_decision() -> None:
    old = rule(criterion("cveHighCount", ">=", "1", subs=[("publishDays", ">=", "30")]))
    policy = Policy(local=[old], state=state())
    workload = workload_of(pod())
    reports = {workload.containers[0].image.text: [report(vulnerabilities=[{**HIGH, "days_ago": 20}])]}

    assert policy.decide(workload, reports, NOW).allowed
    assert not policy.decide(workload, reports, NOW + 11 * DAY).allowed
