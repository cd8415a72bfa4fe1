"""JSON Schema 2020-12 of everything that travels: policy by kind, and the messages of the federation.

The structs are the source; `fedbus schemas DIR` writes the files, and a test keeps them in step.
"""

from typing import Any

import msgspec

from fedbus.model import federation, inventory, rpc, scan, targets
from fedbus.model.policy import KINDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "v1"

PAYLOADS: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("federation", federation.Federation),
    ("cluster", federation.Cluster),
    ("token", federation.Token),
    ("join_request", federation.JoinRequest),
    ("bus_reply", federation.BusReply),
    ("heartbeat", federation.Heartbeat),
    ("checkpoint", federation.Checkpoint),
    ("resync", federation.Resync),
    ("dismissal", federation.Dismissal),
    ("audit_record", federation.AuditRecord),
    ("summary", federation.Summary),
    ("targeted", targets.Targeted),
    ("rollout", targets.Rollout),
    ("rollout_content", targets.RolloutContent),
    ("rpc_request", rpc.RpcRequest),
    ("rpc_answer", rpc.RpcAnswer),
    ("inventory_report", inventory.InventoryReport),
    (scan.REPORT, scan.Report),
    ("large_report", scan.Large),
    (scan.IMAGE, scan.ScannedImage),
)
"""What travels besides policy: the name of its schema, and its type."""

TYPES: dict[str, type[msgspec.Struct]] = {
    **{kind.name: kind.type for kind in KINDS.values()},
    **dict(PAYLOADS),
}
"""Every type with a schema, by the schema's name."""


def schemas() -> dict[str, dict[str, Any]]:
    """Return every schema by the name of its file, relative to the directory of schemas."""
    return {f"{VERSION}/{name}.json": schema_of(name) for name in TYPES}


def schema_of(name: str) -> dict[str, Any]:
    """Return the schema with this name; raises KeyError for any other."""
    described = msgspec.json.schema(TYPES[name])
    return {"$schema": DIALECT, "$id": f"urn:fedbus:schema:{VERSION}:{name}", **described}
