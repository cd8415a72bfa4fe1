"""The master's REST of every policy kind, on NeuVector's paths and with its bodies.

One request is one changeset. `If-Match` is compared in the transaction that the change is planned in.
Only federated policy is written here: lists of rules want `scope=fed`, as NeuVector has it.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from fedbus.core import etags
from fedbus.core.policy_edits import Decision, objects, rules, vulnerabilities
from fedbus.errors import Fault, InvalidInput
from fedbus.master import policy_described as bodies
from fedbus.master import readings
from fedbus.master.asking import asked, digest_of
from fedbus.master.changes import Committed
from fedbus.master.policies import Policies
from fedbus.master.policy_described import writes
from fedbus.model import wire
from fedbus.model.policy import FED_RULE_IDS, KINDS, SINGLETON
from fedbus.store.transaction import Transaction
from fedbus.web import respond
from fedbus.web.policy_reads import ADMISSION_RULE, ADMISSION_STATE, ENTRY, FED, PATHS, SYSTEM_CONFIG, WEBHOOK

_CREATED = ("group", "dlp_sensor", "waf_sensor", "registry")
_DELETED = (
    "group",
    "network_rule",
    "admission_rule",
    "response_rule",
    "dlp_sensor",
    "waf_sensor",
    "registry",
)
_UNCHANGED_BY_NAME = ("admission_rule",)
_RULES = ("network_rule", "admission_rule", "response_rule")


Beside = Callable[[Committed], Awaitable[dict[str, object]]]


class Target(msgspec.Struct, frozen=True):
    """What `If-Match` is about: an object, or with an empty name every object of a kind."""

    kind: str
    name: str = ""


def routes(policies: Callable[[], Policies]) -> list[web.RouteDef]:
    """Make the routes; `policies` is asked at each request and raises while there is no federation."""
    handlers = PolicyHandlers(policies)
    made: list[web.RouteDef] = []
    for kind, paths in PATHS.items():
        if kind in _CREATED:
            made.append(web.post(paths.list_path, handlers.create(kind)))
        if kind not in _UNCHANGED_BY_NAME:
            made.append(web.patch(paths.item_path, handlers.change(kind)))
        if kind in _DELETED:
            made.append(web.delete(paths.item_path, handlers.remove(kind)))
        if kind in _RULES:
            made.append(web.patch(paths.list_path, handlers.act(kind)))
            made.append(web.delete(paths.list_path, handlers.remove_all(kind)))
    return [
        *made,
        web.post(ADMISSION_RULE, handlers.create_admission_rule),
        web.patch(ADMISSION_RULE, handlers.change_admission_rule),
        web.patch(ADMISSION_STATE, handlers.change_admission_state),
        web.patch(SYSTEM_CONFIG, handlers.replace_webhooks),
        web.post(WEBHOOK, handlers.create("webhook")),
        web.patch(WEBHOOK + "/{name}", handlers.change("webhook")),
        web.delete(WEBHOOK + "/{name}", handlers.remove("webhook")),
        web.post(ENTRY, handlers.add_entry),
        web.patch(ENTRY + "/{id}", handlers.change_entry),
        web.delete(ENTRY + "/{id}", handlers.remove_entry),
    ]


class PolicyHandlers:
    """Each reads a body, has its decision committed, and answers with the changeset."""

    def __init__(self, policies: Callable[[], Policies]) -> None:
        self._policies = policies

    def create(self, kind: str) -> Handler:
        """Return what makes an object of a kind."""

        @writes(f"Make a {kind}", kind, body=bodies.whole(kind))
        async def handle(request: web.Request) -> web.Response:
            sent = await respond.body(request, wire.Config)
            obj, decision = objects.create(kind, sent.config)
            return await self._answer(request, decision, Target(kind, KINDS[kind].key(obj)))

        return handle

    def change(self, kind: str) -> Handler:
        """Return what changes the fields that a body has of one object."""

        @writes(f"Change a {kind}", kind, body=bodies.changes(kind))
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            if kind == "process_profile":
                profile = await respond.body(request, wire.ProcessProfileEnvelope)
                decision = objects.change(
                    kind, name, profile.process_profile_config, "process_profile_config"
                )
            else:
                sent = await respond.body(request, wire.Config)
                decision = objects.change(kind, name, sent.config)
                if sent.replicate and kind == "network_rule":
                    decision = rules.copy_in_front(name, decision)
            return await self._answer(request, decision, Target(kind, name))

        return handle

    def remove(self, kind: str) -> Handler:
        """Return what deletes one object, and what goes with it."""

        @writes(f"Delete a {kind}", kind)
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            return await self._answer(request, objects.remove(kind, name), Target(kind, name))

        return handle

    def act(self, kind: str) -> Handler:
        """Return what inserts, moves, replaces or deletes rules in a list."""

        @writes(
            f"Insert, move, replace or delete in the list of {kind}s",
            kind,
            body=bodies.actions(kind),
            scope=bodies.SCOPE_REQUIRED,
        )
        async def handle(request: web.Request) -> web.Response:
            sent = await respond.body(request, wire.RuleActions)
            # NeuVector takes the scope of new response rules from the rules themselves.
            if not (kind == "response_rule" and _all_federal(sent)):
                _require_federated(request)
            return await self._answer(request, rules.act(kind, sent), Target(kind))

        return handle

    def remove_all(self, kind: str) -> Handler:
        """Return what deletes a whole list."""

        @writes(f"Delete every {kind}", kind, scope=bodies.SCOPE_REQUIRED)
        async def handle(request: web.Request) -> web.Response:
            _require_federated(request)
            return await self._answer(request, rules.remove_all(kind), Target(kind))

        return handle

    @writes(
        "Make an admission rule",
        "admission_rule",
        body=bodies.whole("admission_rule"),
        answer=bodies.RULE_ADDED,
    )
    async def create_admission_rule(self, request: web.Request) -> web.Response:
        """Make an admission rule; the answer has it, under the id that it was given."""
        sent = await respond.body(request, wire.Config)
        rule, decision = objects.create("admission_rule", sent.config)

        async def made(done: Committed) -> dict[str, object]:
            known = msgspec.structs.asdict(rule) | {"id": int(done.changes[0].name)}
            del known["rank"]  # where the rule stands, the list says
            return {"rule": known}

        return await self._answer(request, decision, Target("admission_rule", "0"), made)

    @writes("Change an admission rule, named by its id in the body", "admission_rule",
            body=bodies.changes("admission_rule"))  # fmt: skip
    async def change_admission_rule(self, request: web.Request) -> web.Response:
        """Change an admission rule; its id is in the body."""
        sent = await respond.body(request, wire.Config)
        number = sent.config.get("id")
        if isinstance(number, bool) or not isinstance(number, int) or number not in FED_RULE_IDS:
            message = f"config.id must be from {FED_RULE_IDS.start} to {FED_RULE_IDS.stop - 1}"
            raise InvalidInput(message, (Fault("config.id", message),))
        decision = objects.change("admission_rule", str(number), sent.config)
        return await self._answer(request, decision, Target("admission_rule", str(number)))

    @writes("Change the admission state of every cluster", "admission_state",
            body=bodies.changes("admission_state"))  # fmt: skip
    async def change_admission_state(self, request: web.Request) -> web.Response:
        """Change the admission state of every cluster."""
        sent = await respond.body(request, wire.AdmissionStateEnvelope)
        decision = objects.change("admission_state", SINGLETON, sent.state, "state")
        return await self._answer(request, decision, Target("admission_state", SINGLETON))

    @writes("Replace the federated webhooks", "webhook", body=bodies.SYSTEM_CONFIG)
    async def replace_webhooks(self, request: web.Request) -> web.Response:
        """Replace all federated webhooks."""
        sent = await respond.body(request, wire.SystemConfigEnvelope)
        return await self._answer(request, objects.replace_webhooks(sent.fed_config), Target("webhook"))

    @writes("Accept a vulnerability", vulnerabilities.KIND, body=bodies.ENTRY, answer=bodies.ENTRY_ADDED)
    async def add_entry(self, request: web.Request) -> web.Response:
        """Add an entry to the vulnerability profile; the answer has it, under the id that it was given."""
        sent = await respond.body(request, wire.Config)
        target = Target(vulnerabilities.KIND, request.match_info["name"])
        entry, decision = vulnerabilities.add(target.name, sent.config)

        async def added(_: Committed) -> dict[str, object]:
            profile = await self._policies().object(target.kind, target.name)
            return {"config": vulnerabilities.added(profile, entry)}

        return await self._answer(request, decision, target, added)

    @writes("Set an accepted vulnerability", vulnerabilities.KIND, body=bodies.ENTRY)
    async def change_entry(self, request: web.Request) -> web.Response:
        """Set an entry of the vulnerability profile."""
        sent = await respond.body(request, wire.Config)
        target = Target(vulnerabilities.KIND, request.match_info["name"])
        decision = vulnerabilities.change(target.name, request.match_info["id"], sent.config)
        return await self._answer(request, decision, target)

    @writes("Accept a vulnerability no longer", vulnerabilities.KIND)
    async def remove_entry(self, request: web.Request) -> web.Response:
        """Take an entry out of the vulnerability profile."""
        target = Target(vulnerabilities.KIND, request.match_info["name"])
        decision = vulnerabilities.remove(target.name, request.match_info["id"])
        return await self._answer(request, decision, target)

    async def _answer(
        self, request: web.Request, decision: Decision, target: Target, beside: Beside | None = None
    ) -> web.Response:
        """Commit a decision, or say what it would change; `beside` makes what else the answer has."""
        if request.query.get("scope", FED) != FED:
            raise _local()
        check = _condition(target, request.headers.get("If-Match", ""))
        if request.query.get("dry_run") == "true":
            changes = await self._policies().preview_edit(decision, check)
            return respond.json(bodies.DryRun(dry_run=True, changes=changes))
        who = asked(request, request.query.get("comment", ""), await digest_of(request))
        done = await self._policies().edit(decision, who, check)
        answer = msgspec.to_builtins(done) | (await beside(done) if beside is not None else {})
        return respond.json(answer, headers=_etag(done) if target.name else None)


def _condition(target: Target, if_match: str) -> Callable[[Transaction], None]:
    return lambda tx: _require(tx, target, if_match) if if_match else None


def _require(tx: Transaction, target: Target, if_match: str) -> None:
    if not target.name:
        etags.require(if_match, etags.of_all(readings.every(tx, target.kind)))
    elif (stored := readings.one(tx, (target.kind, target.name))) is not None:
        etags.require(if_match, etags.of(stored), stored.revision)
    else:
        etags.require(if_match, None, 0)


def _etag(done: Committed) -> dict[str, str] | None:
    """Return the tag of the object that a request named, where the request changed it."""
    first = done.changes[0] if done.changes else None
    if first is None or first.op not in ("created", "updated"):
        return None
    return {"ETag": etags.tag(done.epoch, done.version)}


def _require_federated(request: web.Request) -> None:
    if request.query.get("scope") != FED:
        raise _local()


def _local() -> InvalidInput:
    message = "only federated policy is written here"
    return InvalidInput(
        message, (Fault("scope", message),), code="SCOPE_UNSUPPORTED", remedy="Send scope=fed in the query"
    )


def _all_federal(sent: wire.RuleActions) -> bool:
    new = sent.insert.rules if sent.insert is not None else []
    return bool(new) and all(rule.get("cfg_type") == "federal" for rule in new)
