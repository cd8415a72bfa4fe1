"""NeuVector's `fedinitcfg`: what a cluster is in the federation, in its words, as settings of ours.

Keys in any case, as NeuVector reads them. What fedbus has no use for is refused with the reason, not ignored:
a join token that never expires, a proxy.
"""

from collections.abc import Mapping
from typing import Literal

Role = Literal["master", "worker"]

_REST_INFO = ("server", "port")
_KEYS: Mapping[Role, tuple[str, ...]] = {
    "master": (
        "cluster_name",
        "primary_rest_info",
        "use_proxy",
        "allow_same_k8s_uid_rejoin",
        "deploy_repo_scan_data",
    ),
    "worker": ("cluster_name", "primary_rest_info", "managed_rest_info", "use_proxy", "join_token"),
}
_OF_THE_OTHER: Mapping[str, str] = {
    "managed_rest_info": "it makes a managed cluster of this one: run `fedbus worker`",
    "join_token": "a token that never expires is not supported: make one with `fedbus token create`",
    "allow_same_k8s_uid_rejoin": "only the master decides this",
    "deploy_repo_scan_data": "only the master decides this",
}
_SETTINGS: Mapping[tuple[Role, str], tuple[str, ...]] = {
    ("master", "cluster_name"): ("promote_name",),
    ("master", "primary_rest_info"): ("advertised_server", "advertised_port"),
    ("master", "allow_same_k8s_uid_rejoin"): ("allow_same_uid_rejoin",),
    ("master", "deploy_repo_scan_data"): ("deploy_repo_scan_data",),
    ("worker", "cluster_name"): ("join_name",),
    ("worker", "primary_rest_info"): ("join_server", "join_port"),
    ("worker", "managed_rest_info"): ("advertised_rest_server", "advertised_rest_port"),
}


def lowered(document: Mapping[object, object]) -> dict[str, object]:
    """Return a mapping with its keys as text in lower case."""
    return {str(key).lower(): value for key, value in document.items()}


Found = dict[str, tuple[str, object]]
"""Settings, each with the key it is from and its value."""


def translate(document: Mapping[object, object], role: Role) -> tuple[Found, list[str]]:
    """Return the settings that a file means, each with its key there, and everything that is wrong with it.

    The token itself is no setting: where there is one, the caller has its file read as the token's.
    """
    found: Found = {}
    faults: list[str] = []
    for key, value in lowered(document).items():
        if key not in _KEYS[role]:
            why = _OF_THE_OTHER.get(key, "there is no such key")
            faults.append(f"{key}: {why}; allowed here: {', '.join(_KEYS[role])}")
        elif key == "use_proxy":
            if value not in ("", None):
                faults.append("use_proxy: clusters dial the bus directly; allowed: empty")
        elif key.endswith("_rest_info"):
            _rest_info(found, faults, key, value, _SETTINGS[role, key])
        elif (role, key) in _SETTINGS:
            found[_SETTINGS[role, key][0]] = (key, value)
    return found, faults


def _rest_info(
    found: Found,
    faults: list[str],
    key: str,
    value: object,
    settings: tuple[str, ...],
) -> None:
    if not isinstance(value, Mapping):
        faults.append(f"{key}: expected a mapping of {' and '.join(_REST_INFO)}")
        return
    for part, inner in lowered(value).items():
        if part in _REST_INFO:
            found[settings[_REST_INFO.index(part)]] = (f"{key}.{part}", inner)
        else:
            faults.append(f"{key}.{part}: there is no such key; allowed here: {', '.join(_REST_INFO)}")
