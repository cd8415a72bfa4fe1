from hashlib import sha256
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import inventory_report
from fedbus.core.inventory_report import packed, read, reported
from fedbus.core.workload import POD_PATHS, workload_of
from fedbus.model import codec
from fedbus.model.inventory import ReportedWorkload
from tests.support.admission import pod

COPY = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.mark.parametrize("kind", POD_PATHS)
def test_the_values_of_variables_and_copies_of_them_stay_at_home(kind: str) -> None:
    variables = [{"name": "A", "value": "hunter2"}, {"name": "B", "valueFrom": {"fieldRef": {}}}]
    manifest = pod(
        kind=kind,
        container={"env": variables},
        spec={"initContainers": [{"name": "i", "image": "x", "env": variables}]},
        metadata={"annotations": {COPY: "hunter2", "team": "a"}, "managedFields": ["hunter2"]},
    )
    sent = reported(manifest | {"status": {"note": "hunter2"}})

    assert b"hunter2" not in codec.encode(sent)
    workload, known = workload_of(sent), workload_of(manifest)
    assert [one.name for one in workload.containers[0].env] == ["A", "B"]
    assert workload.annotations == {"team": "a"}
    assert (workload.kind, workload.name, workload.namespace) == (kind, known.name, known.namespace)
    assert "hunter2" in str(manifest)  # what was given is as it was


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("metadata", "spec", "template", "containers", "env", "annotations", "x")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(("metadata", "spec")), JSON), st.sampled_from([*POD_PATHS, "Else"]))
def test_whatever_a_manifest_is_made_of_it_is_reported(parts: dict[str, Any], kind: str) -> None:
    assert reported(parts | {"kind": kind})["kind"] == kind


def test_a_report_says_the_same_in_every_order_and_reads_back() -> None:
    workloads = [
        ReportedWorkload(manifest=pod(metadata={"name": f"w{n}"}), risky_roles=None if n else ())
        for n in range(50)
    ]
    body, encoding, digest = packed(workloads, complete=True)

    assert packed(reversed(workloads), complete=True) == (body, encoding, digest)
    assert packed(workloads, complete=False)[2] != digest
    found = read(body, encoding)
    assert sorted(found.workloads, key=str) == sorted(workloads, key=str)
    assert (found.left_out, found.complete) == (0, True)


def test_what_does_not_fit_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [sha256(str(n).encode()).hexdigest() for n in range(3000)]
    workloads = [ReportedWorkload(manifest=pod(metadata={"name": name})) for name in noise]
    monkeypatch.setattr(codec, "MAX_BODY", 20_000)
    body, encoding, _ = packed(workloads, complete=True)
    found = read(body, encoding)

    assert 5_000 < len(body) <= 20_000
    assert found.left_out == 3000 - len(found.workloads) > 0

    monkeypatch.setattr(inventory_report, "_ROOM", 5_000)
    found = read(*packed(workloads, complete=True)[:2])
    assert 0 < len(msgspec.json.encode(found.workloads)) <= 5_000
