"""The settings of the two daemons. Secrets are never settings: a setting names the file that holds one."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fedbus.model import names

MAX_JWT_DAYS = 365
"""The longest a worker's credential may live: so long is a revocation remembered."""

Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
ServiceName = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}\.svc$")]
NamespaceName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What both daemons need."""

    data_dir: Path
    """Where everything is kept; default `$XDG_STATE_HOME/fedbus/<master or worker>`."""
    rest_host: str = "127.0.0.1"
    """The address the REST API listens on."""
    rest_port: Port = 10443
    """Its port; 0 takes any free one."""
    rest_names: tuple[str, ...] = ()
    """More host names and addresses the REST certificate is made for."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe log line that is written."""
    heartbeat_interval: Seconds = 10.0
    """Seconds between heartbeats; on a master, what it tells its workers."""
    metrics_open: bool = False
    """Whether anybody who reaches the REST port may read /metrics without a key."""
    tracing_endpoint: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""
    """The OTLP collector for traces (`http://host:4318`); empty traces nothing."""
    webhook_host: str = "127.0.0.1"
    """The address the admission webhook listens on."""
    webhook_port: Port = 8443
    """Its port; 0 takes any free one."""
    webhook_service: ServiceName = "fedbus-webhook.fedbus.svc"
    """The name of the Kubernetes service in front of it; its certificate is for that."""
    webhook_names: tuple[str, ...] = ()
    """More host names and addresses its certificate is made for."""
    critical_namespaces: tuple[NamespaceName, ...] = ("kube-system", "kube-public", "istio-system")
    """Namespaces that admission never denies anything, beside the one of `webhook_service`."""
    fail_open: bool = True
    """Whether what the webhook cannot decide in time is allowed, with a warning, or denied."""
    kubernetes: Literal["off", "in-cluster", "kubeconfig"] = "off"
    """Where the inventory comes from: nowhere, the API of the cluster this runs in, or a kubeconfig's."""
    kubeconfig: Path | None = None
    """The kubeconfig; default `$KUBECONFIG`, then `~/.kube/config`."""
    kubernetes_context: str = ""
    """The context in it; default its current one."""
    inventory_file: Path | None = None
    """A file with the inventory, where there is no Kubernetes; read again when it changes."""
    inventory_interval: Annotated[float, Meta(ge=1.0)] = 60.0
    """Seconds between two reports of the inventory to the master at least, for previews there."""
    fedinitcfg: Path | None = None
    """A file as NeuVector's `fedinitcfg.yaml`: everything else here wins over what it says."""
    min_free_mb: Annotated[int, Meta(ge=0)] = 256
    """Megabytes that should be free where the data directory is; below it `fedbus doctor` says so."""
    registry_ca: Path | None = None
    """Certificates (PEM) that registries and a Trivy server are trusted by, beside the system's."""
    registry_max_images: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """The most tags of one registry that are scanned; a summary says when there are more."""
    scan_platforms: Annotated[tuple[str, ...], Meta(min_length=1)] = ("linux/amd64",)
    """Which images of a multi-platform one are scanned; a tag is taken for the first of them."""
    scan_at_once: Annotated[int, Meta(ge=1, le=64)] = 2
    """Images that are scanned at once, over all registries."""
    scan_seconds: Seconds = 600.0
    """Seconds after which the scan of one image is given up."""
    scan_max_image_mb: Annotated[int, Meta(ge=1)] = 8192
    """Megabytes of layers, as stored, of the largest image that is scanned."""
    scan_memory_mb: Annotated[int, Meta(ge=1024)] = 8192
    """Megabytes of address space that a scanner program may have."""
    trivy_program: Path | None = None
    """Trivy; default that of the extra `trivy`, else the one in the PATH."""
    trivy_server: Annotated[str, Meta(pattern="^(https?://.+)?$")] = ""
    """The address of a Trivy server that does the matching; empty for a database of our own."""
    trivy_token_file: Path | None = None
    """The token for it."""
    trivy_cache_dir: Path | None = None
    """Where the vulnerability database is; default `<data_dir>/trivy`."""
    trivy_offline: bool = False
    """Whether Trivy uses the database that is there and asks nobody for another."""
    trivy_db_repository: str = ""
    """A private mirror of the vulnerability database, as `host/name:tag`."""
    trivy_java_db_repository: str = ""
    """A private mirror of its index of Java archives."""


class MasterSettings(Settings, frozen=True, kw_only=True):
    """The settings of `fedbus master`."""

    bus_host: str = "127.0.0.1"
    """The address the embedded bus listens on."""
    bus_port: Port = 11443
    """Its port; 0 takes a free one at first start and keeps it."""
    bus_urls: tuple[Annotated[str, Meta(pattern="^tls://")], ...] = ()
    """The servers of an external bus; none means the embedded one."""
    bus_replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    """How many servers of an external bus keep each stream."""
    bus_ca_file: Path | None = None
    """On a bus of somebody else's operator: the CA of its servers' certificates, PEM."""
    bus_operator_key_file: Path | None = None
    """There: the seed of a signing key of the operator, which signs the federation's two accounts."""
    bus_system_credentials_file: Path | None = None
    """There: the credentials of a user of the system account, which pushes them."""
    advertised_server: str = ""
    """The name or address of the bus that join tokens carry; default `bus_host`."""
    worker_jwt_days: Annotated[float, Meta(gt=0, le=MAX_JWT_DAYS)] = 7.0
    """Days a worker's credential is good for; it is renewed at two thirds."""
    checkpoint_interval: Seconds = 5.0
    """Seconds between signed checkpoints."""
    promote_name: str = ""
    """Be the master of a federation of this name: promote at the first start, rename at a later one."""
    advertised_port: Port = 0
    """The port of the bus that join tokens carry; 0 is the one it listens on."""
    advertised_rest_server: str = ""
    """How others reach this REST API: what the summary and NeuVector's `rest_info` say."""
    advertised_rest_port: Port = 0
    """Its port."""
    deploy_repo_scan_data: bool = False
    """Whether results of CI pipelines go to the workers, until it is set over REST."""
    allow_same_uid_rejoin: bool = True
    """Whether a token made for a member's name and its cluster uid bring it back without its keys."""


class WorkerSettings(Settings, frozen=True, kw_only=True):
    """The settings of `fedbus worker`."""

    join_token_file: Path | None = None
    """A join token to join with at the first start."""
    join_name: str = ""
    """The cluster's name in the federation, for joining with `join_token_file`."""
    join_server: str = ""
    """The master's bus, instead of the one the join token names."""
    join_port: Port = 0
    """Its port, instead of the one the join token names; 0 leaves that."""
    join_labels: tuple[str, ...] = ()
    """Labels to join with, each `key=value`."""
    cluster_uid: str = ""
    """What tells this cluster from every other (the uid of `kube-system`): it may come back by it."""
    advertised_rest_server: str = ""
    """How the master's users reach this REST API."""
    advertised_rest_port: Port = 0
    """Its port."""

    def labels(self) -> dict[str, str]:
        """Return `join_labels` as labels. Raises InvalidInput."""
        found = dict(label.partition("=")[::2] for label in self.join_labels)
        names.check_labels(found)
        return found
