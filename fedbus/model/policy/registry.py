"""Registries that the master scans for the federation; credentials never leave the master."""

from typing import ClassVar, Literal

import msgspec

from fedbus.model.policy.common import CfgType, Part
from fedbus.model.registry_run import RegistryStatus

RegistryType = Literal[
    "Amazon ECR Registry",
    "Azure Container Registry",
    "Docker Registry",
    "GitHub Container Registry",
    "Gitlab",
    "Google Container Registry",
    "Harbor Registry",
    "IBM Cloud Container Registry",
    "JFrog Artifactory",
    "OpenShift Registry",
    "Red Hat Public Registry",
    "Sonatype Nexus",
]


class ScanSchedule(Part, frozen=True, kw_only=True):
    """When a registry is scanned; `interval` is in seconds and counts for `periodical` only."""

    schedule: Literal["manual", "auto", "periodical"] = "manual"
    interval: int = 0


class AwsKey(Part, frozen=True, kw_only=True):
    """Access to an Amazon registry."""

    id: str = ""
    access_key_id: str = ""
    secret_access_key: str = ""
    region: str = ""


class GcrKey(Part, frozen=True, kw_only=True):
    """Access to a Google registry."""

    json_key: str = ""


class Registry(Part, frozen=True, kw_only=True):
    """One registry; a `****` stands where the master holds a credential."""

    computed: ClassVar[frozenset[str]] = frozenset(
        {"creater_domains", "parsed_filters"}
        | {field.name for field in msgspec.structs.fields(RegistryStatus)}
    )

    name: str
    registry_type: RegistryType
    registry: str = ""
    username: str = ""
    password: str = ""
    auth_token: str = ""
    auth_with_token: bool = False
    domains: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    rescan_after_db_update: bool = False
    scan_layers: bool = False
    repo_limit: int = 0
    tag_limit: int = 0
    schedule: ScanSchedule = ScanSchedule()
    aws_key: AwsKey | None = None
    gcr_key: GcrKey | None = None
    jfrog_mode: Literal["", "Repository Path", "Subdomain", "Port"] = ""
    jfrog_aql: bool = False
    gitlab_external_url: str = ""
    gitlab_private_token: str = ""
    ibm_cloud_token_url: str = ""
    ibm_cloud_account: str = ""
    ignore_proxy: bool = False
    cfg_type: CfgType = "federal"
