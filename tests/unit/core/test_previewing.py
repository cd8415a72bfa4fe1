import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core.admission.policy import Policy
from fedbus.core.previewing import MAX_AFFECTED, Change, Tally, changed, only, unseen
from fedbus.core.workload import workload_of
from fedbus.model.assessment import ClusterPreview
from fedbus.model.policy.admission import AdmissionRule
from fedbus.model.policy.vulnerability import VulnerabilityEntry
from fedbus.model.scan import Report
from tests.support.admission import NOW, criterion, pod, report, rule, state

CRITERIA = st.sampled_from(
    [
        criterion("namespace", "containsAny", "shop"),
        criterion("namespace", "notContainsAny", "shop"),
        criterion("image", "containsAny", "nginx:1.25"),
        criterion("cveHighCount", ">=", "1"),
        criterion("imageScanned", "=", "true"),
    ]
)
RULES = st.lists(
    st.builds(
        lambda one, id_, kind, mode, off, unscanned: rule(
            one,
            id=id_,
            rank=f"{id_}",
            rule_type=kind,
            rule_mode=mode if kind == "deny" else "",
            disable=off,
            on_unscanned=unscanned,
        ),
        CRITERIA,
        st.integers(1, 6),
        st.sampled_from(("deny", "exception")),
        st.sampled_from(("", "monitor", "protect")),
        st.booleans(),
        st.sampled_from(("skip", "match", "deny")),
    ),
    max_size=5,
    unique_by=lambda one: one.id,
)
ACCEPTED = [VulnerabilityEntry(name="CVE-1")]
SCAN = report(vulnerabilities=[{"name": "CVE-1", "severity": "High"}, {"name": "CVE-2", "severity": "High"}])
WORKLOADS = [
    workload_of(pod(image, namespace=namespace))
    for image in ("nginx:1.25", "redis:7")
    for namespace in ("shop", "bank")
]


@given(RULES, RULES, st.sampled_from(("monitor", "protect")), st.booleans())
def test_asking_the_changed_rules_first_changes_nothing(
    before: list[AdmissionRule], after: list[AdmissionRule], mode: str, scanned: bool
) -> None:
    old, new = (Policy(rules, state=state(mode), accepted=ACCEPTED) for rules in (before, after))
    scans: dict[str, list[Report]] = {"nginx:1.25": [SCAN] if scanned else [], "redis:7": []}
    found = []
    for first in (None, only(changed(before, after), ACCEPTED)):
        tally = Tally(Change(old, new, first))
        for workload in WORKLOADS:
            tally.add(workload, scans, NOW)
        found.append(tally.into(ClusterPreview(id="c", name="c")))

    assert found[0] == found[1]


def test_rules_that_are_the_same_are_not_changed() -> None:
    one, other = rule(criterion("namespace", "containsAny", "a"), id=1), rule(id=2)

    assert changed([one, other], [other, one]) == []
    moved = msgspec.structs.replace(one, rank="z")
    assert changed([one, other], [moved]) == [one, moved, other]


def test_all_are_counted_by_namespace_and_the_first_are_named() -> None:
    denies = Policy([rule(criterion("namespace", "containsAny", "shop"), id=1)], state=state())
    tally = Tally(Change(Policy(state=state()), denies))
    for number in range(MAX_AFFECTED + 10):
        tally.add(workload_of(pod(metadata={"name": f"w{number}"})), {}, NOW)
    tally.add(workload_of(pod(namespace="bank")), {}, NOW)

    found = tally.into(ClusterPreview(id="c", name="c"))

    assert found.denied == MAX_AFFECTED + 10
    assert len(found.affected) == MAX_AFFECTED
    assert [(one.namespace, one.denied) for one in found.namespaces] == [("shop", MAX_AFFECTED + 10)]
    assert (found.affected[0].rule, found.affected[0].after) == (1, "denied")


def test_rules_about_what_stays_in_the_clusters_are_named() -> None:
    assert unseen([rule(criterion("namespace", "containsAny", "a"), id=1)]) == []
    (said,) = unseen([rule(criterion("envVars", "containsAny", "A=b"), id=7)])
    assert "7" in said
