"""AsyncAPI 3 of the bus, from the subjects and the structs of what travels on them.

It is written from a worker's side: what it receives and sends. An auditor receives the same.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from fedbus.model import events, federation, inventory, rpc, scan, subjects
from fedbus.model.policy import KINDS

_SCHEMA = "#/components/schemas/{name}"
_HEADERS = "EventHeaders"

_POLICY = {kind.name: kind.type for kind in KINDS.values()}
_RECORDS: dict[str, Any] = {
    federation.FEDERATION: federation.Federation,
    federation.CLUSTER: federation.Cluster,
    federation.TOKEN: federation.Token,
}
_SCANS: dict[str, Any] = {scan.REPORT: scan.Report, "large_report": scan.Large, scan.IMAGE: scan.ScannedImage}
_CONTROLS: dict[str, Any] = {
    federation.DISMISSED: federation.Dismissal,
    federation.RESYNC: federation.Resync,
}
_OTHERS: dict[str, Any] = {
    "checkpoint": federation.Checkpoint,
    "heartbeat": federation.Heartbeat,
    "join_request": federation.JoinRequest,
    "bus_reply": federation.BusReply,
    "audit_record": federation.AuditRecord,
    "inventory_report": inventory.InventoryReport,
    "rpc_request": rpc.RpcRequest,
    "rpc_answer": rpc.RpcAnswer,
}

_TYPES: dict[str, Any] = {**_POLICY, **_RECORDS, **_SCANS, **_CONTROLS, **_OTHERS}

_ATTRIBUTES: dict[str, str] = {
    "ce-specversion": "1.0",
    "ce-id": "Unique; with the source it is what the event is known by",
    "ce-source": "The federation",
    "ce-type": "What happened to what",
    "ce-time": "When, RFC 3339; no order depends on it",
    "ce-datacontenttype": "application/json",
    "ce-fbepoch": "The federation's epoch",
    "ce-fbversion": "The federation's version after the changeset",
    "ce-fbrevision": "The object's revision",
    "ce-fbdigest": "SHA-256 of the body, hexadecimal",
    "ce-fbchangeset": "What one request changed",
    "ce-fbindex": "The place in the changeset, from 0, within the scope",
    "ce-fbcount": "How many events the changeset has in this scope",
    "ce-fbkeyid": "The key that signed",
    events.SIGNATURE: "Ed25519 over the statement: the subject and every other ce- header, sorted",
}
_OPTIONAL: dict[str, str] = {
    "ce-fbencoding": "zstd where the body is compressed, large where it names an object",
    "ce-fbactor": "Who asked for the change, percent-encoded",
    "ce-fbcomment": "Why, percent-encoded",
}

_EVENT_HEADERS = {
    "type": "object",
    "required": list(_ATTRIBUTES),
    "properties": {
        name: {"type": "string", "description": text} for name, text in (_ATTRIBUTES | _OPTIONAL).items()
    },
}


def document(version: str) -> dict[str, Any]:
    """Return the description of the bus as this version of fedbus speaks it."""
    (_, schemas) = msgspec.json.schema_components(_TYPES.values(), ref_template=_SCHEMA)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "fedbus",
            "version": version,
            "description": "Signed policy events of a federation, on NATS JetStream. Names in subjects are"
            " escaped: every byte outside A-Z a-z 0-9 _ - : is written %XX.",
        },
        "defaultContentType": "application/json",
        "channels": _CHANNELS,
        "operations": _operations(),
        "components": {
            "messages": _messages(),
            "schemas": dict(sorted({**schemas, _HEADERS: _EVENT_HEADERS}.items())),
        },
    }


def _channel(address: str, description: str, messages: Iterable[str]) -> dict[str, Any]:
    names = [part[1:-1] for part in address.split(".") if part.startswith("{")]
    channel: dict[str, Any] = {
        "address": address,
        "description": description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    return channel | ({"parameters": {name: {} for name in names}} if names else {})


_ROOT = subjects.ROOT
_CHANNELS: dict[str, Any] = {
    "policyForAll": _channel(
        f"{_ROOT}.ev.{subjects.SCOPE_ALL}.policy.{{kind}}.{{name}}",
        "Policy for every cluster",
        (*_POLICY, "deleted"),
    ),
    "policyForOne": _channel(
        f"{_ROOT}.ev.c.{{cluster}}.policy.{{kind}}.{{name}}", "Policy for one cluster", (*_POLICY, "deleted")
    ),
    "scans": _channel(
        f"{_ROOT}.ev.{subjects.SCOPE_SCANS}.scan.{{kind}}.{{name}}",
        "Scan results for every cluster, in a stream of their own",
        (*_SCANS, "deleted"),
    ),
    "scansOfMaster": _channel(
        f"{_ROOT}.ev.{subjects.SCOPE_MASTER_SCANS}.scan.{{kind}}.{{name}}",
        "Results of pipelines that the master keeps; no worker may read them",
        (*_SCANS, "deleted"),
    ),
    "control": _channel(
        f"{_ROOT}.ev.c.{{cluster}}.control.{{what}}.-", "Instructions to one cluster", _CONTROLS
    ),
    "records": _channel(
        f"{_ROOT}.ev.{subjects.SCOPE_MASTER}.record.{{kind}}.{{name}}",
        "The master's own records; no worker may read them",
        (*_RECORDS, "deleted"),
    ),
    "checkpoint": _channel(subjects.CHECKPOINT, "The signed head, every few seconds", ("checkpoint",)),
    "heartbeat": _channel(f"{_ROOT}.up.{{cluster}}.hb", "What a cluster reports", ("heartbeat",)),
    "renew": _channel(f"{_ROOT}.up.{{cluster}}.renew", "Asks for fresh credentials", ("empty",)),
    "leave": _channel(f"{_ROOT}.up.{{cluster}}.leave", "Leaves the federation", ("empty",)),
    "report": _channel(f"{_ROOT}.up.{{cluster}}.report", "Says that a dismissal has arrived", ("empty",)),
    "inventory": _channel(
        f"{_ROOT}.up.{{cluster}}.inventory", "What runs in a cluster, when it changed", ("inventory_report",)
    ),
    "rpc": _channel(f"{_ROOT}.rpc.{{cluster}}", "What the master asks a cluster", ("rpc_request",)),
    "rpcReply": {
        "address": None,
        "description": "The reply subject of the request: one answer within a minute",
        "messages": {"rpc_answer": {"$ref": "#/components/messages/rpc_answer"}},
    },
    "join": _channel(f"{_ROOT}.join.{{token}}", "Redeems a join token", ("join_request",)),
    "reply": {
        "address": None,
        "description": "The sender's own inbox",
        "messages": {"bus_reply": {"$ref": "#/components/messages/bus_reply"}},
    },
    "audit": _channel(f"{_ROOT}.audit.{{category}}", "What was done in the federation", ("audit_record",)),
}

_RECEIVED = ("policyForAll", "policyForOne", "scans", "control", "checkpoint", "rpc")
_ASKED = ("renew", "leave", "join", "inventory")
_SENT = ("heartbeat", "report")


def _operations() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for channel in _RECEIVED:
        made[f"receive_{channel}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{channel}"}}
    for channel in (*_SENT, *_ASKED):
        made[f"send_{channel}"] = {"action": "send", "channel": {"$ref": f"#/channels/{channel}"}}
    for channel in _ASKED:
        made[f"send_{channel}"]["reply"] = {"channel": {"$ref": "#/channels/reply"}}
    made["receive_rpc"]["reply"] = {"channel": {"$ref": "#/channels/rpcReply"}}
    return made


def _messages() -> dict[str, Any]:
    made: dict[str, Any] = {"empty": {"payload": {"type": "object"}}}
    for name, type_ in _TYPES.items():
        made[name] = {"payload": {"$ref": _SCHEMA.format(name=type_.__name__)}}
        if name not in _OTHERS:
            made[name]["headers"] = {"$ref": _SCHEMA.format(name=_HEADERS)}
    made["deleted"] = {
        "headers": {"$ref": _SCHEMA.format(name=_HEADERS)},
        "payload": {"type": "string", "maxLength": 0},
        "summary": "A tombstone: the object is gone",
    }
    signed = (
        ("checkpoint", federation.SIGNATURE),
        ("rpc_request", federation.SIGNATURE),
        ("join_request", federation.PROOF),
    )
    for name, header in signed:
        made[name]["headers"] = {
            "type": "object",
            "required": [header],
            "properties": {header: {"type": "string", "description": "Ed25519 over the body, base64"}},
        }
    packing = {rpc.ENCODING: {"type": "string", "description": "zstd where the body is compressed"}}
    for name in ("rpc_request", "rpc_answer", "inventory_report"):
        made[name].setdefault("headers", {"type": "object", "properties": {}})["properties"] |= packing
    renewal = made["join_request"]["headers"]
    renewal["required"].append(federation.RENEW_PROOF)
    renewal["properties"][federation.RENEW_PROOF] = renewal["properties"][federation.PROOF]
    return made
