"""Policy objects as the REST API has them, each on the path that NeuVector has its kind on."""

import msgspec

from fedbus.cli.client import Api
from fedbus.cli.errors import ApiError
from fedbus.cli.exit_codes import ExitCode
from fedbus.model.policy import KINDS
from fedbus.web.policy_reads import ADMISSION_STATE, PATHS, SYSTEM_CONFIG


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object as it is shown, and applied again."""

    kind: str
    spec: dict[str, object]
    revision: int | None = None
    target: dict[str, object] | None = None


async def read(api: Api, kind: str, scope: str) -> list[Document]:
    """Return every object of a kind, from whichever path NeuVector has it on. Raises CliError."""
    if kind == "admission_state":
        try:
            answer = await api.get(ADMISSION_STATE, scope=scope)
        except ApiError as error:
            if error.code is ExitCode.NOT_FOUND:
                return []
            raise
        target = {"default": answer.get("target")}
        return _documents(kind, {"objects": [answer.get("state")], "targets": target})
    if kind == "webhook":
        config = (await api.get(SYSTEM_CONFIG, scope=scope)).get("fed_config" if scope == "fed" else "config")
        section = config if isinstance(config, dict) else {}
        return _documents(kind, section | {"objects": section.get("webhooks")})
    answer = await api.get(PATHS[kind].list_path, scope=scope)
    return _documents(kind, answer | {"objects": answer.get(PATHS[kind].list_key)})


def _documents(kind: str, answer: dict[str, object]) -> list[Document]:
    """Return the `objects` of an answer as documents, with what stands beside them by name."""
    found, revisions, targets = (answer.get(key) for key in ("objects", "revisions", "targets"))
    known = revisions if isinstance(revisions, dict) else {}
    placed = targets if isinstance(targets, dict) else {}
    documents = (
        [Document(kind=kind, spec=_own(kind, spec)) for spec in found or [] if isinstance(spec, dict)]
        if isinstance(found, list)
        else []
    )
    return [
        msgspec.structs.replace(one, revision=known.get(name_of(one)), target=placed.get(name_of(one)))
        for one in documents
    ]


def _own(kind: str, shown: dict[str, object]) -> dict[str, object]:
    """Return the object without what it is only shown with, such as where the scan of a registry stands."""
    of = KINDS[kind].type
    beside = of.computed - {field.encode_name for field in msgspec.structs.fields(of)}
    return {key: value for key, value in shown.items() if key not in beside}


def name_of(document: Document) -> str:
    """Return the name of an object within its kind."""
    return str(document.spec.get(KINDS[document.kind].identity, "default"))
