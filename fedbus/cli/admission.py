"""`fedbus admission webhook-config | status | stats | events`: the admission webhook of one cluster."""

from typing import Annotated, Literal

import msgspec
import typer

from fedbus.cli.errors import CliError
from fedbus.cli.exit_codes import ExitCode
from fedbus.cli.output import Column, emit, facts, rows, to_yaml
from fedbus.cli.session import Session, command
from fedbus.kube.configuration import Asking, configuration

app = typer.Typer(no_args_is_help=True, help="Admission control of one cluster: its webhook and its record.")


@command(app)
async def webhook_config(
    session: Session,
    *,
    failure_policy: Annotated[
        Literal["Ignore", "Fail"],
        typer.Option(
            help="What the API server does while no webhook answers: let everything pass, or nothing."
        ),
    ] = "Ignore",
    timeout: Annotated[int, typer.Option(min=1, max=30, help="Seconds the API server waits.")] = 10,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMESPACE", help="A namespace never to ask about; can be repeated."),
    ] = None,
    webhook_url: Annotated[
        str, typer.Option(metavar="URL", help="How the API server reaches it, if not by its service.")
    ] = "",
) -> None:
    """Print the ValidatingWebhookConfiguration: `fedbus admission webhook-config | kubectl apply -f -`."""
    if webhook_url and not webhook_url.startswith("https://"):
        raise CliError(f"A webhook has an https:// address, not {webhook_url!r}", code=ExitCode.USAGE)
    known = await session.api.get("/v1/admission/webhook")
    made = configuration(
        Asking(
            service=str(known["service"]),
            namespace=str(known["namespace"]),
            ca_pem=str(known["ca_bundle"]),
            url=webhook_url,
            failure_policy=failure_policy,
            timeout_seconds=timeout,
            excluded=exclude or (),
        )
    )
    emit(session.form, made, lambda: typer.echo(to_yaml([made]), nl=False))


@command(app)
async def status(session: Session) -> None:
    """Show how the webhook stands, and what it does with a review that it cannot decide."""
    found = await session.api.get("/v1/admission/webhook")
    shown = {
        "webhook": found.get("url"),
        "service": f"{found.get('service')}.{found.get('namespace')}",
        "certificate until": found.get("certificate_expires"),
        "admission control": "on" if found.get("enable") else "off",
        "mode": found.get("mode"),
        "set by": _WHOSE.get(str(found.get("state_scope"))),
        "rules": found.get("rules"),
        "undecided reviews": "allowed (fail_open)" if found.get("fail_open") else "denied",
        "rules that cannot be asked": found.get("unusable"),
        "rules without known roles": found.get("blind"),
        "error": found.get("error"),
    }
    session.emit(found, lambda: facts(shown))


@command(app)
async def stats(session: Session) -> None:
    """Show how many reviews were allowed and denied, and by which rules."""
    found = msgspec.convert(await session.api.get("/v1/admission/stats"), _Stats)

    def show() -> None:
        facts(
            {name.removeprefix("k8s_").replace("_", " "): str(count) for name, count in found.stats.items()}
        )
        if found.rules:
            rows(_RULES, found.rules)

    session.emit(found, show)


_WHOSE = {"fed": "the federation", "local": "this cluster", "": "nobody: it was never switched on"}
_RULES: list[Column] = [
    ("SCOPE", lambda one: one.get("scope")),
    ("RULE", lambda one: one.get("rule")),
    ("RESULT", lambda one: one.get("result")),
    ("COUNT", lambda one: one.get("count")),
]


class _Stats(msgspec.Struct):
    stats: dict[str, int]
    rules: list[dict[str, object]]


@command(app)
async def events(
    session: Session,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the latest first.")] = 50,
) -> None:
    """Show what was denied, what only would have been, and what a rule allowed."""
    found = await session.api.get("/v1/log/audit", limit=str(limit))
    columns = [
        ("LAST", lambda one: one.get("reported_at")),
        ("EVENT", lambda one: str(one.get("name")).rpartition(".")[2]),
        ("COUNT", lambda one: one.get("count")),
        ("NAMESPACE", lambda one: one.get("workload_domain")),
        ("WORKLOAD", lambda one: f"{one.get('kind')} {one.get('workload_name')}"),
        ("IMAGE", lambda one: one.get("workload_image")),
        ("RULE", lambda one: f"{one.get('rule_scope')} {one.get('rule')}"),
        ("USER", lambda one: one.get("user")),
    ]
    audits = found.get("audits")
    session.emit(found, lambda: rows(columns, audits if isinstance(audits, list) else [], empty="No events"))
