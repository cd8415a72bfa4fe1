"""What the master asks a cluster over the bus, and what the cluster answers.

Both travel packed (`codec.pack`); the header `Fb-Encoding` says how, `Fb-Signature` of a request is the
federation key's over the exact body.
"""

import msgspec

from fedbus.model.federation import Refusal

ENCODING = "Fb-Encoding"
"""The header that says how a body is packed."""
ASSESS = "assess"
"""The method that says what a cluster's admission control would do with manifests."""


class RpcRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question to one cluster; `at` is when it was asked, in Unix seconds by the master's clock."""

    federation_id: str
    cluster_id: str
    id: str
    at: float
    method: str
    params: msgspec.Raw


class RpcAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the question of that id: a result, or with `null` for it why there is none."""

    id: str
    result: msgspec.Raw
    refused: Refusal | None = None
