"""NeuVector's fedinitcfg as settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbus.core import fedinitcfg
from fedbus.core.fedinitcfg import Role


def test_a_master_is_named_and_addressed_by_it() -> None:
    found, faults = fedinitcfg.translate(
        {
            "Cluster_Name": "hub",
            "Primary_Rest_Info": {"Server": "fed.example.com", "Port": 11443},
            "use_proxy": "",
            "deploy_repo_scan_data": True,
            "allow_same_k8s_uid_rejoin": False,
        },
        "master",
    )

    assert faults == []
    assert {name: value for name, (_, value) in found.items()} == {
        "promote_name": "hub",
        "advertised_server": "fed.example.com",
        "advertised_port": 11443,
        "deploy_repo_scan_data": True,
        "allow_same_uid_rejoin": False,
    }


def test_a_worker_is_told_its_name_and_its_master() -> None:
    found, faults = fedinitcfg.translate(
        {
            "cluster_name": "shop",
            "primary_rest_info": {"server": "fed.example.com", "port": 11443},
            "managed_rest_info": {"server": "shop.example.com", "port": 10443},
            "join_token": "secret",
        },
        "worker",
    )

    assert faults == []
    assert found["join_server"] == ("primary_rest_info.server", "fed.example.com")
    assert found["advertised_rest_port"] == ("managed_rest_info.port", 10443)
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("role", "document", "said"),
    [
        ("master", {"join_token": "x"}, "join_token: a token that never expires"),
        ("master", {"managed_rest_info": {}}, "managed_rest_info: it makes a managed cluster"),
        ("worker", {"deploy_repo_scan_data": True}, "deploy_repo_scan_data: only the master"),
        ("worker", {"clustername": "x"}, "clustername: there is no such key; allowed here: cluster_name"),
        ("worker", {"use_proxy": "https"}, "use_proxy: clusters dial"),
        ("master", {"primary_rest_info": "here"}, "primary_rest_info: expected a mapping"),
        ("master", {"primary_rest_info": {"host": "h"}}, "primary_rest_info.host: there is no such key"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    role: Role, document: dict[object, object], said: str
) -> None:
    found, faults = fedinitcfg.translate(document, role)

    assert found == {}
    assert len(faults) == 1
    assert faults[0].startswith(said)
    assert "allowed" in faults[0] or "expected" in faults[0]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_keys = st.sampled_from(["cluster_name", "primary_rest_info", "managed_rest_info", "use_proxy", "join_token"])


@given(st.dictionaries(_keys | st.text() | st.integers(), _json), st.sampled_from(["master", "worker"]))
def test_whatever_it_holds_it_is_judged_and_never_raises(document: dict[object, object], role: Role) -> None:
    found, faults = fedinitcfg.translate(document, role)
    assert isinstance(found, dict)
    assert all(isinstance(fault, str) for fault in faults)
