"""The REST writes of every policy kind, on NeuVector's paths and with its bodies; both daemons have them.

One request is one changeset. `If-Match` is compared in the transaction that the change is planned in.
Whose policy is written says `scope`, or the names and ids in the request (`policy_scopes`).
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from types import MappingProxyType
from typing import Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from fedbus.cluster.policy import described as bodies
from fedbus.cluster.policy.described import writes
from fedbus.cluster.policy.scopes import asked_scope, scope_of
from fedbus.core import etags
from fedbus.core.policy_edits import Decision, objects, rules, vulnerabilities
from fedbus.core.writes import Committed, Condition, Preview, Request
from fedbus.errors import Fault, InvalidInput
from fedbus.model import wire
from fedbus.model.policy import FED, FED_RULE_IDS, KINDS, LOCAL, SINGLETON, Policy, Scope
from fedbus.web import respond
from fedbus.web.asking import asked, digest_of
from fedbus.web.policy_reads import ADMISSION_RULE, ADMISSION_STATE, ENTRY, PATHS, SYSTEM_CONFIG, WEBHOOK

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


_NONE: Mapping[str, str | None] = MappingProxyType({})

Beside = Callable[[Committed], Awaitable[dict[str, object]]]


class PolicyWriter(Protocol):
    """What writes the policy of one scope."""

    async def edit(self, decision: Decision, request: Request, condition: Condition) -> Committed:
        """Apply what a request decides, as one changeset."""
        ...

    async def preview_edit(self, decision: Decision, condition: Condition) -> list[Preview]:
        """Return what `edit` would change, and change nothing."""
        ...

    async def object(self, kind: str, name: str) -> Policy | None:
        """Return one object, None if there is none."""
        ...


Writers = Callable[[Scope], PolicyWriter]
"""Who writes a scope; raises where nobody does, at each request."""


class Apart(Protocol):
    """What keeps that part of an object which is no policy: the credentials of registries."""

    def split(self, kind: str, config: wire.Raw) -> tuple[wire.Raw, dict[str, str | None]]:
        """Return a body without what is kept apart, and that."""
        ...

    def kept(
        self, name: str, apart: Mapping[str, str | None], *, fresh: bool
    ) -> AbstractAsyncContextManager[None]:
        """Keep it while and after what is inside is done, unless that fails; `fresh` is a new object's."""
        ...


def routes(writers: Writers, apart: Apart) -> list[web.RouteDef]:
    """Make the routes."""
    handlers = PolicyHandlers(writers, apart)
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

    def __init__(self, writers: Writers, apart: Apart) -> None:
        self._writers, self._apart = writers, apart

    def create(self, kind: str) -> Handler:
        """Return what makes an object of a kind."""

        @writes(f"Make a {kind}", kind, body=bodies.whole(kind))
        async def handle(request: web.Request) -> web.Response:
            self._asked(request)
            sent = await respond.body(request, wire.Config)
            writing = self._writing(request, kind, body=sent.config)
            config, secrets = self._apart.split(kind, sent.config)
            obj, decision = objects.create(kind, config, writing.scope)
            name = KINDS[kind].key(obj)
            async with self._keeping(request, kind, name, secrets):
                return await writing.answer(decision, name)

        return handle

    def change(self, kind: str) -> Handler:
        """Return what changes the fields that a body has of one object."""

        @writes(f"Change a {kind}", kind, body=bodies.changes(kind))
        async def handle(request: web.Request) -> web.Response:
            name, secrets = request.match_info["name"], dict[str, str | None]()
            self._named(request, kind, name)
            if kind == "process_profile":
                profile = await respond.body(request, wire.ProcessProfileEnvelope)
                writing = self._writing(request, kind, name, profile.process_profile_config)
                decision = objects.change(
                    kind, name, profile.process_profile_config, "process_profile_config", writing.scope
                )
            else:
                sent = await respond.body(request, wire.Config)
                writing = self._writing(request, kind, name, sent.config)
                config, secrets = self._apart.split(kind, sent.config)
                decision = objects.change(kind, name, config, scope=writing.scope)
                if sent.replicate and kind == "network_rule":
                    decision = rules.copy_in_front(name, decision)
            async with self._keeping(request, kind, name, secrets):
                return await writing.answer(decision, name)

        return handle

    def remove(self, kind: str) -> Handler:
        """Return what deletes one object, and what goes with it."""

        @writes(f"Delete a {kind}", kind)
        async def handle(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            async with self._keeping(request, kind, name):
                return await self._writing(request, kind, name).answer(objects.remove(kind, name), name)

        return handle

    def act(self, kind: str) -> Handler:
        """Return what inserts, moves, replaces or deletes rules in a list."""

        @writes(f"Insert, move, replace or delete in the list of {kind}s", kind, body=bodies.actions(kind))
        async def handle(request: web.Request) -> web.Response:
            self._asked(request)
            sent = await respond.body(request, wire.RuleActions)
            writing = self._writing(request, kind, body={"cfg_type": FED.cfg_type} if _federal(sent) else {})
            return await writing.answer(rules.act(kind, sent, writing.scope))

        return handle

    def remove_all(self, kind: str) -> Handler:
        """Return what deletes a whole list."""

        @writes(f"Delete every {kind}", kind)
        async def handle(request: web.Request) -> web.Response:
            return await self._writing(request, kind).answer(rules.remove_all(kind))

        return handle

    @writes(
        "Make an admission rule",
        "admission_rule",
        body=bodies.whole("admission_rule"),
        answer=bodies.RULE_ADDED,
    )
    async def create_admission_rule(self, request: web.Request) -> web.Response:
        """Make an admission rule; the answer has it, under the id that it was given."""
        self._asked(request)
        sent = await respond.body(request, wire.Config)
        origin = {"cfg_type": sent.config.get("cfg_type")}  # an id is assigned, whatever was sent
        writing = self._writing(request, "admission_rule", body=origin)
        rule, decision = objects.create("admission_rule", sent.config, writing.scope)

        async def made(done: Committed) -> dict[str, object]:
            known = msgspec.structs.asdict(rule) | {"id": int(done.changes[0].name)}
            del known["rank"]  # where the rule stands, the list says
            return {"rule": known}

        return await writing.answer(decision, "0", made)

    @writes("Change an admission rule, named by its id in the body", "admission_rule",
            body=bodies.changes("admission_rule"))  # fmt: skip
    async def change_admission_rule(self, request: web.Request) -> web.Response:
        """Change an admission rule; its id is in the body."""
        self._asked(request)
        sent = await respond.body(request, wire.Config)
        number = sent.config.get("id")
        if isinstance(number, bool) or not isinstance(number, int) or number <= 0:
            message = "config.id must be the id of the rule"
            raise InvalidInput(message, (Fault("config.id", message),))
        writing = self._writing(request, "admission_rule", str(number))
        decision = objects.change("admission_rule", str(number), sent.config, scope=writing.scope)
        return await writing.answer(decision, str(number))

    @writes("Change the admission state", "admission_state", body=bodies.changes("admission_state"))
    async def change_admission_state(self, request: web.Request) -> web.Response:
        """Change the admission state of this cluster, or with `scope=fed` of every cluster."""
        self._asked(request)
        sent = await respond.body(request, wire.AdmissionStateEnvelope)
        writing = self._writing(request, "admission_state", body=sent.state)
        decision = objects.change("admission_state", SINGLETON, sent.state, "state", writing.scope)
        return await writing.answer(decision, SINGLETON)

    @writes("Replace the webhooks", "webhook", body=bodies.SYSTEM_CONFIG)
    async def replace_webhooks(self, request: web.Request) -> web.Response:
        """Replace all federated webhooks (`fed_config`), or all of this cluster (`config`)."""
        self._asked(request)
        sent = await respond.body(request, wire.SystemConfigEnvelope)
        given = [(FED, sent.fed_config), (LOCAL, sent.config)]
        sections = [(scope, body) for scope, body in given if body is not None]
        if len(sections) != 1:
            message = "send either fed_config or config: a request changes one scope"
            raise InvalidInput(message, (Fault("", message),))
        ((scope, body),) = sections
        writing = self._writing(request, "webhook", body={"cfg_type": scope.cfg_type})
        return await writing.answer(objects.replace_webhooks(body, writing.scope))

    @writes("Accept a vulnerability", vulnerabilities.KIND, body=bodies.ENTRY, answer=bodies.ENTRY_ADDED)
    async def add_entry(self, request: web.Request) -> web.Response:
        """Add an entry to the vulnerability profile; the answer has it, under the id that it was given."""
        writing = self._writing(request, vulnerabilities.KIND)
        sent = await respond.body(request, wire.Config)
        name = request.match_info["name"]
        entry, decision = vulnerabilities.add(name, sent.config)

        async def added(_: Committed) -> dict[str, object]:
            profile = await writing.writer.object(vulnerabilities.KIND, name)
            return {"config": vulnerabilities.added(profile, entry)}

        return await writing.answer(decision, name, added)

    @writes("Set an accepted vulnerability", vulnerabilities.KIND, body=bodies.ENTRY)
    async def change_entry(self, request: web.Request) -> web.Response:
        """Set an entry of the vulnerability profile."""
        writing = self._writing(request, vulnerabilities.KIND)
        sent = await respond.body(request, wire.Config)
        name = request.match_info["name"]
        decision = vulnerabilities.change(name, request.match_info["id"], sent.config)
        return await writing.answer(decision, name)

    @writes("Accept a vulnerability no longer", vulnerabilities.KIND)
    async def remove_entry(self, request: web.Request) -> web.Response:
        """Take an entry out of the vulnerability profile."""
        name = request.match_info["name"]
        decision = vulnerabilities.remove(name, request.match_info["id"])
        return await self._writing(request, vulnerabilities.KIND).answer(decision, name)

    def _keeping(
        self, request: web.Request, kind: str, name: str, secrets: Mapping[str, str | None] = _NONE
    ) -> AbstractAsyncContextManager[None]:
        """Return what keeps what is no policy of an object, while it is written."""
        if kind != "registry" or request.query.get("dry_run") == "true":
            return nullcontext()
        return self._apart.kept(name, secrets, fresh=request.method == "POST")

    def _asked(self, request: web.Request) -> None:
        """Refuse a scope that nobody writes here, before the body is looked at."""
        if (scope := asked_scope(request)) is not None:
            self._writers(scope)

    def _named(self, request: web.Request, kind: str, name: str) -> None:
        """Refuse the same by the name in the path."""
        self._writers(scope_of(request, kind, name))

    def _writing(
        self, request: web.Request, kind: str, name: str = "", body: Mapping[str, object] | None = None
    ) -> "Writing":
        scope = scope_of(request, kind, name, body)
        return Writing(request, kind, scope, self._writers(scope))


class Writing(msgspec.Struct, frozen=True):
    """One request that writes a kind in a scope."""

    request: web.Request
    kind: str
    scope: Scope
    writer: PolicyWriter

    async def answer(self, decision: Decision, name: str = "", beside: Beside | None = None) -> web.Response:
        """Commit a decision, or say what it would change; `beside` makes what else the answer has.

        `If-Match` is about the object of this name, or with none about every object of the kind.
        """
        request = self.request
        condition = Condition(self.kind, name, request.headers.get("If-Match", ""))
        if request.query.get("dry_run") == "true":
            changes = await self.writer.preview_edit(decision, condition)
            return respond.json(bodies.DryRun(dry_run=True, changes=changes))
        who = asked(request, request.query.get("comment", ""), await digest_of(request))
        done = await self.writer.edit(decision, who, condition)
        answer = msgspec.to_builtins(done) | (await beside(done) if beside is not None else {})
        return respond.json(answer, headers=_etag(done) if name else None)


def _federal(sent: wire.RuleActions) -> bool:
    """Tell whether what a request does to single rules is about federated ones."""
    new = sent.insert.rules if sent.insert is not None else []
    ids = [rule.get("id") for rule in new] + (sent.delete or []) + ([sent.move.id] if sent.move else [])
    return any(rule.get("cfg_type") == FED.cfg_type for rule in new) or any(
        isinstance(number, int) and number in FED_RULE_IDS for number in ids
    )


def _etag(done: Committed) -> dict[str, str] | None:
    """Return the tag of the object that a request named, where the request changed it."""
    first = done.changes[0] if done.changes else None
    if first is None or first.op not in ("created", "updated"):
        return None
    return {"ETag": etags.tag(done.epoch, done.version)}
