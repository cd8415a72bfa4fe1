"""The AdmissionReview envelope: answered in kind, bounded, and told apart from what is none."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.errors import InvalidInput
from fedbus.kube import review
from fedbus.kube.review import Answer

DATA = Path(__file__).parents[2] / "data/admission"
DEPLOYMENT: dict[str, Any] = json.loads((DATA / "deployment_admission_review.json").read_bytes())


def asked(**changes: Any) -> bytes:
    return json.dumps(DEPLOYMENT | changes).encode()


def answered(raw: bytes, answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(review.answer(review.read(raw), answer))
    return found


@pytest.mark.parametrize("file", sorted(DATA.glob("*.json")), ids=lambda file: file.stem)
def test_real_reviews_are_read(file: Path) -> None:
    raw = file.read_bytes()
    request, sent = review.read(raw).request, json.loads(raw)["request"]

    assert (request.uid, request.operation, request.namespace) == (
        sent["uid"], sent["operation"], sent["namespace"],
    )  # fmt: skip
    assert request.object == sent["object"]
    assert request.user_info.groups == ("system:masters", "system:authenticated")


@pytest.mark.parametrize("version", [review.V1, review.V1BETA1])
def test_an_answer_repeats_version_and_uid(version: str) -> None:
    found = answered(asked(apiVersion=version), Answer(allowed=True))

    assert found == {
        "apiVersion": version,
        "kind": "AdmissionReview",
        "response": {"uid": DEPLOYMENT["request"]["uid"], "allowed": True},
    }


def test_a_denial_says_why_and_is_annotated() -> None:
    given = Answer(allowed=False, message="because", audit={"rule": "fed/100001"})

    response = answered(asked(), given)["response"]

    assert response["status"] == {
        "status": "Failure", "message": "because", "reason": "Forbidden", "code": 403,
    }  # fmt: skip
    assert response["auditAnnotations"] == {"rule": "fed/100001"}


def test_v1beta1_has_no_warnings() -> None:
    given = Answer(allowed=True, warnings=("careful",))

    assert answered(asked(), given)["response"]["warnings"] == ["careful"]
    assert "warnings" not in answered(asked(apiVersion=review.V1BETA1), given)["response"]


@given(st.lists(st.text(max_size=600), max_size=60))
def test_warnings_stay_within_the_api_servers_limits(warnings: list[str]) -> None:
    response = answered(asked(), Answer(allowed=True, warnings=tuple(warnings)))["response"]

    said = response.get("warnings", [])
    assert all(len(one) <= review.MAX_WARNING for one in said)
    assert sum(map(len, said)) <= review.MAX_WARNINGS
    assert not any(ord(character) < 32 for one in said for character in one)


BAD = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"kind": "\xff"}',
    "a list": b"[]",
    "another kind": asked(kind="Pod"),
    "another version": asked(apiVersion="admission.k8s.io/v2"),
    "no version": json.dumps({"kind": "AdmissionReview", "request": DEPLOYMENT["request"]}).encode(),
    "no request": json.dumps({"kind": "AdmissionReview", "apiVersion": review.V1}).encode(),
    "a null request": asked(request=None),
    "no uid": asked(request=DEPLOYMENT["request"] | {"uid": ""}),
    "a number for a uid": asked(request=DEPLOYMENT["request"] | {"uid": 7}),
    "an object that is a list": asked(request=DEPLOYMENT["request"] | {"object": []}),
    "no kind": asked(request={k: v for k, v in DEPLOYMENT["request"].items() if k != "kind"}),
    "nested for ever": b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":'
    + b'{"object":' * 5000
    + b"1"
    + b"}" * 5000
    + b"}",
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_what_is_no_review_is_refused_by_name(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        review.read(raw)
    assert refused.value.code == "REVIEW_MALFORMED"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput):
        review.read(raw)
