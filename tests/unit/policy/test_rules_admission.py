"""NeuVector's table of admission criteria: every name with every operator, for both rule types."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from fedbus.core.admission.rule import CompiledRule
from fedbus.core.policy_rules.admission_criteria import CRITERIA
from fedbus.errors import InvalidInput
from fedbus.model.policy.admission import AdmissionRule

FaultsIn = Callable[[str, Mapping[str, object]], dict[str, str]]

OPERATORS = [
    "=",
    "!=",
    ">=",
    ">",
    "<=",
    "containsAll",
    "containsAny",
    "notContainsAny",
    "containsOtherThan",
    "regex",
    "!regex",
    "exist",
    "notExist",
    "containsTagAny",
]
SET4 = {"containsAll", "containsAny", "notContainsAny", "containsOtherThan"}
ANY2 = {"containsAny", "notContainsAny"}
BOTH_TRUTH = [
    "imageScanned",
    "imageSigned",
    "imageCompliance",
    "envVarSecrets",
    "runAsPrivileged",
    "runAsRoot",
]
DENY_TRUTH = ["imageNoOS", "sharePidWithHost", "shareIpcWithHost", "shareNetWithHost"]
DENY_YES = ["allowPrivEscalation", "pspCompliance"]
COUNTS = [
    "cveCriticalCount",
    "cveHighCountNoCritical",
    "cveHighCount",
    "cveMediumCount",
    "cveCriticalWithFixCount",
    "cveHighWithFixCountNoCritical",
    "cveHighWithFixCount",
]
# Written out once more from the reference, apart from the table under test: (deny, allow, a value).
EXPECTED: dict[str, tuple[set[str], set[str], str]] = {
    **dict.fromkeys(("image", "imageRegistry", "namespace"), (ANY2, ANY2, "a,b")),
    "user": (ANY2 | {"regex", "!regex"}, ANY2 | {"regex", "!regex"}, "system.*"),
    "userGroups": (SET4 | {"regex", "!regex"}, SET4 | {"regex", "!regex"}, "admins"),
    **dict.fromkeys(("labels", "annotations", "envVars"), (SET4, SET4, "a=1,b")),
    **dict.fromkeys(("mountVolumes", "cveNames"), (SET4, SET4, "x")),
    **{name: ({">="}, {"<=", ">="}, "1") for name in COUNTS},
    "cveScoreCount": ({">="}, set(), "7.5"),
    "imageVerifiers": (SET4 - {"containsOtherThan"}, SET4 - {"containsOtherThan"}, "root/verifier"),
    "modules": (SET4, SET4, "openssl<3.0.8"),
    **{name: ({"="}, {"="}, "true") for name in BOTH_TRUTH},
    **{name: ({"="}, set(), "true") for name in DENY_TRUTH + DENY_YES},
    "violatePssPolicy": ({"="}, set(), "baseline"),
    "storageClassName": (ANY2, set(), "fast"),
    "saBindRiskyRole": ({"containsTagAny"}, set(), "risky_role_view_secret"),
}


def rule(*criteria: Mapping[str, object], rule_type: str = "deny", **fields: object) -> dict[str, Any]:
    return {"rule_type": rule_type, "criteria": list(criteria), **fields}


def criterion(
    name: str, op: str = "", value: str = "", *subs: dict[str, str], **fields: str
) -> dict[str, Any]:
    return {"name": name, "op": op, "value": value, "sub_criteria": list(subs), **fields}


def test_the_reference_and_the_table_name_the_same_criteria() -> None:
    assert EXPECTED.keys() | {"resourceLimit"} == CRITERIA.keys()


@pytest.mark.parametrize("rule_type", ["deny", "exception"])
@pytest.mark.parametrize("name", EXPECTED)
def test_a_criterion_has_its_operators_and_no_others(faults_in: FaultsIn, name: str, rule_type: str) -> None:
    deny, allow, value = EXPECTED[name]
    operators = deny if rule_type == "deny" else allow

    for op in OPERATORS:
        found = faults_in("admission_rule", rule(criterion(name, op, value), rule_type=rule_type))
        wrong = "name" if not operators else "op"
        assert set(found) == (set() if op in operators else {f"criteria[0].{wrong}"}), op


@pytest.mark.parametrize("name", ["baseImage", "cveScore", "customPath", "nonsense", ""])
def test_what_is_no_criterion_is_answered_with_those_that_are(faults_in: FaultsIn, name: str) -> None:
    found = faults_in("admission_rule", rule(criterion(name, "=", "1"), rule_type="exception"))

    assert "criteria[0].name" in found


@pytest.mark.parametrize(
    ("name", "op", "value"),
    [
        *[(name, "=", "yes") for name in BOTH_TRUTH + DENY_TRUTH],
        *[(name, "=", "false") for name in DENY_YES],
        ("violatePssPolicy", "=", "strict"),
        *[
            (name, ">=", value)
            for name in ("cveHighCount", "cveScoreCount")
            for value in ("", "x", "-1", "nan", "inf", "1_0", " 1", "١", "1e999")
        ],
        ("image", "containsAny", ""),
        ("image", "containsAny", "a,,b"),
        ("labels", "containsAll", "=1"),
        ("modules", "containsAny", "openssl<"),
        ("modules", "containsAny", "<3"),
        ("imageVerifiers", "containsAny", "root"),
        ("imageVerifiers", "containsAny", "root/"),
        ("user", "regex", "("),
        ("user", "regex", "(?=look-ahead)x"),
        ("user", "!regex", r"(a)\1"),
        ("userGroups", "regex", "a{1,3}"),
        ("user", "regex", "(((a{100}){100}){100})"),
        ("saBindRiskyRole", "containsTagAny", "risky_role_view_secret,other"),
    ],
)
def test_a_value_of_the_wrong_sort_names_the_right_one(
    faults_in: FaultsIn, name: str, op: str, value: str
) -> None:
    found = faults_in("admission_rule", rule(criterion(name, op, value)))

    assert set(found) == {"criteria[0].value"}
    assert " must be " in found["criteria[0].value"]


AGE = {"name": "publishDays", "op": ">=", "value": "30"}
HITS = {"name": "count", "op": ">=", "value": "2"}
MEMORY = {"name": "memoryLimit", "op": "<=", "value": "0"}


@pytest.mark.parametrize("name", COUNTS)
def test_only_deny_rules_count_by_age(faults_in: FaultsIn, name: str) -> None:
    aged = criterion(name, ">=", "1", AGE)

    assert faults_in("admission_rule", rule(aged)) == {}
    found = faults_in("admission_rule", rule(aged, rule_type="exception"))
    assert set(found) == {"criteria[0].sub_criteria[0].name"}


@pytest.mark.parametrize("name", ["cpuRequest", "cpuLimit", "memoryRequest", "memoryLimit"])
@pytest.mark.parametrize("op", [">", "<="])
def test_a_resource_limit_is_over_or_up_to_a_number(faults_in: FaultsIn, name: str, op: str) -> None:
    limit = criterion("resourceLimit", "", "", {"name": name, "op": op, "value": "0.5"})

    assert faults_in("admission_rule", rule(limit)) == {}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (criterion("resourceLimit"), "sub_criteria"),
        (criterion("resourceLimit", "=", "", MEMORY), "op"),
        (criterion("resourceLimit", "", "5", MEMORY), "value"),
        (criterion("resourceLimit", "", "", {**MEMORY, "op": ">="}), "sub_criteria[0].op"),
        (criterion("resourceLimit", "", "", {**MEMORY, "value": "1Gi"}), "sub_criteria[0].value"),
        (criterion("resourceLimit", "", "", AGE), "sub_criteria[0].name"),
        (criterion("cveScoreCount", ">=", "7", {**HITS, "op": "<="}), "sub_criteria[0].op"),
        (criterion("cveScoreCount", ">=", "7", AGE), "sub_criteria[0].name"),
        (criterion("cveHighCount", ">=", "1", {**AGE, "value": "a month"}), "sub_criteria[0].value"),
        (criterion("image", "containsAny", "a", HITS), "sub_criteria[0].name"),
        (criterion("cveHighCount", ">=", "1", AGE, AGE), "sub_criteria[1].name"),
        (criterion("cveScoreCount", ">=", "7", HITS, HITS), "sub_criteria[1].name"),
    ],
)
def test_a_sub_criterion_belongs_to_its_criterion(
    faults_in: FaultsIn, wrong: Mapping[str, object], field: str
) -> None:
    assert set(faults_in("admission_rule", rule(wrong))) == {f"criteria[0].{field}"}


def custom(value_type: str, op: str, value: str = "", path: str = "item.spec.replicas") -> dict[str, Any]:
    return criterion("replicas", op, value, type="customPath", path=path, value_type=value_type)


@pytest.mark.parametrize(
    ("value_type", "operators", "value"),
    [
        ("key", {"exist", "notExist"}, ""),
        ("string", {"exist", "notExist", *SET4}, "a,b"),
        ("number", {"exist", "notExist", "=", "!=", ">=", ">", "<="}, "-3.5"),
        ("boolean", {"exist", "notExist", "="}, "true"),
    ],
)
def test_a_custom_path_has_the_operators_of_its_value_type(
    faults_in: FaultsIn, value_type: str, operators: set[str], value: str
) -> None:
    for op in OPERATORS:
        found = faults_in("admission_rule", rule(custom(value_type, op, value)))
        assert set(found) == (set() if op in operators else {"criteria[0].op"}), op


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (custom("number", "=", "many"), "value"),
        (custom("number", "=", "1,2"), "value"),
        (custom("boolean", "=", "yes"), "value"),
        (custom("boolean", "=", "true,false"), "value"),
        (custom("key", "exist", path="item.spec..replicas"), "path"),
        (custom("key", "exist", path="item.spec.replicas."), "path"),
        (custom("string", "containsAny", ""), "value"),
        (custom("", "exist"), "value_type"),
        (custom("key", "exist", path="spec.replicas"), "path"),
        (custom("key", "exist", path="item."), "path"),
    ],
)
def test_a_custom_path_is_complete(faults_in: FaultsIn, wrong: Mapping[str, object], field: str) -> None:
    assert set(faults_in("admission_rule", rule(wrong))) == {f"criteria[0].{field}"}


@pytest.mark.parametrize(
    "typed",
    [
        custom("key", "exist"),
        criterion("any", "containsTagAny", "risky_role_create_pod", type="saBindRiskyRole"),
    ],
)
def test_typed_criteria_deny_only(faults_in: FaultsIn, typed: Mapping[str, object]) -> None:
    assert faults_in("admission_rule", rule(typed)) == {}
    assert set(faults_in("admission_rule", rule(typed, rule_type="exception"))) == {"criteria[0].name"}


def test_beside_a_storage_class_there_is_only_a_namespace(faults_in: FaultsIn) -> None:
    storage = criterion("storageClassName", "containsAny", "fast")

    assert faults_in("admission_rule", rule(storage, criterion("namespace", "containsAny", "a"))) == {}
    found = faults_in("admission_rule", rule(storage, criterion("runAsRoot", "=", "true")))
    assert set(found) == {"criteria[1].name"}


@pytest.mark.parametrize("mode", ["", "monitor", "protect"])
def test_only_deny_rules_have_a_mode(faults_in: FaultsIn, mode: str) -> None:
    assert faults_in("admission_rule", rule(rule_mode=mode)) == {}
    found = faults_in("admission_rule", rule(rule_mode=mode, rule_type="exception"))
    assert set(found) == ({"rule_mode"} if mode else set())


def test_the_fields_of_the_rule_itself(faults_in: FaultsIn) -> None:
    found = faults_in(
        "admission_rule", rule(category="Docker", critical=True, containers=["containers", "containers"])
    )

    assert set(found) == {"category", "critical", "containers[1]"}


def test_a_name_of_the_wrong_rule_type_lists_the_right_ones(faults_in: FaultsIn) -> None:
    found = faults_in(
        "admission_rule", rule(criterion("sharePidWithHost", "=", "true"), rule_type="exception")
    )

    assert "imageSigned" in found["criteria[0].name"]
    assert "cveScoreCount" not in found["criteria[0].name"]


@pytest.mark.parametrize("on_unscanned", ["skip", "match", "deny"])
def test_a_rule_says_what_becomes_of_it_without_a_scan(faults_in: FaultsIn, on_unscanned: str) -> None:
    assert faults_in("admission_rule", rule(on_unscanned=on_unscanned)) == {}


def test_any_other_word_for_that_is_named(faults_in: FaultsIn) -> None:
    with pytest.raises(InvalidInput) as refused:
        faults_in("admission_rule", rule(on_unscanned="allow"))

    assert [fault.field for fault in refused.value.faults] == ["on_unscanned"]


@pytest.mark.parametrize("rule_type", ["deny", "exception"])
@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_valid_can_be_asked(faults_in: FaultsIn, name: str, rule_type: str) -> None:
    deny, allow, value = EXPECTED[name]

    for op in deny if rule_type == "deny" else allow:
        spec = rule(
            criterion(name, op, value, type="saBindRiskyRole" * (name == "saBindRiskyRole")),
            rule_type=rule_type,
        )
        assert faults_in("admission_rule", spec) == {}
        CompiledRule(msgspec.convert(spec, AdmissionRule), "fed", "protect")
