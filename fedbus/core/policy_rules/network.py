"""Rules for network rules."""

from collections.abc import Iterator
from types import MappingProxyType

from fedbus.core.policy_rules.checks import own_name_faults, repeated, wrong
from fedbus.core.policy_rules.ports import normal_ports
from fedbus.errors import Fault
from fedbus.model.policy.network import NetworkRule
from fedbus.model.policy.scope import FED, PREFIX, Scope

ANY_APPLICATION = "any"

APPLICATIONS = MappingProxyType(
    {
        name.lower(): name
        for name in [
            "ActiveMQ",
            "Apache",
            "Cassandra",
            "Consul",
            "CouchDB",
            "Couchbase",
            "DHCP",
            "DNS",
            "Echo",
            "ElasticSearch",
            "GRPC",
            "HTTP",
            "Jetty",
            "Kafka",
            "MSSQL",
            "Memcached",
            "MongoDB",
            "MySQL",
            "NTP",
            "Oracle",
            "PostgreSQL",
            "RTSP",
            "RabbitMQ",
            "Radius",
            "Redis",
            "SIP",
            "SSH",
            "SSL",
            "Spark",
            "Syslog",
            "TFTP",
            "VoltDB",
            "Wordpress",
            "ZooKeeper",
            "etcd",
            "nginx",
        ]
    }
)
"""NeuVector's application names by their lower case."""

SPECIAL_ENDS = frozenset({"external", "nodes", "fed.external"})
"""Ends that are no group of workloads; at most one end of a rule may be one."""
LOCAL_ENDS = frozenset({"external", "nodes", "containers"})
"""The only ends without the prefix that a federated rule may name."""
_LOCAL = ", ".join(sorted(LOCAL_ENDS))
INGRESS = "Workload:ingress"
HOST = "Host:"
"""Ends of a local rule that are no groups: what comes in from outside, and a host by name or address."""


def network_faults(rule: NetworkRule, scope: Scope) -> Iterator[Fault]:
    """Check a network rule: its two ends, its ports and its applications."""
    for field, name in (("from", rule.from_), ("to", rule.to)):
        yield from _end_faults(field, name, scope)
    if {rule.from_, rule.to} <= SPECIAL_ENDS:
        yield Fault(
            "to", f"from and to must not both be special ({rule.from_!r}, {rule.to!r}): one end has workloads"
        )
    if normal_ports(rule.ports) is None:
        yield wrong(
            "ports", f"must be 'any' or a list such as tcp/80,udp/100-200,tcp/any,icmp, not {rule.ports!r}"
        )
    for index, name in enumerate(rule.applications):
        if name != ANY_APPLICATION and name.lower() not in APPLICATIONS:
            yield wrong(
                f"applications[{index}]",
                f"must be 'any' or one of {', '.join(APPLICATIONS.values())}, not {name!r}",
            )
    for index, name in repeated(name.lower() for name in rule.applications):
        yield wrong(f"applications[{index}]", f"repeats {name!r}")


def _end_faults(field: str, name: str, scope: Scope) -> Iterator[Fault]:
    if name in LOCAL_ENDS:
        return
    if scope is FED and not scope.owns(name):
        yield wrong(
            field,
            f"must be a federated group ('{PREFIX}...') or one of {_LOCAL}, "
            f"not {name!r}: other clusters do not know local groups, hosts and workloads",
        )
    elif name == INGRESS and field != "from":
        yield wrong(field, f"must not be {INGRESS!r}: what comes in is only a source")
    else:
        yield from own_name_faults(field, name, scope)
