"""The rules that every cluster starts with: nothing is denied in the namespaces of its system and of fedbus.

These are NeuVector's default critical rules. Nobody writes them and no other rule stands above them: a
denial there would keep the cluster from healing itself.
"""

from collections.abc import Sequence

from fedbus.model.policy.admission import AdmissionCriterion, AdmissionRule, ContainerType

_ALL: tuple[ContainerType, ...] = ("containers", "init_containers", "ephemeral_containers")


def built_in(system: Sequence[str], own: str) -> tuple[AdmissionRule, ...]:
    """Return the critical rules for the namespaces of the system and for the one that fedbus runs in."""
    wanted = (
        (1, "Namespaces of the cluster's own system (critical_namespaces)", ",".join(system)),
        (2, "The namespace of fedbus (webhook_service)", own),
    )
    return tuple(
        AdmissionRule(
            id=number,
            comment=comment,
            criteria=(AdmissionCriterion(name="namespace", op="containsAny", value=namespaces),),
            critical=True,
            rule_type="exception",
            containers=_ALL,
            cfg_type="system_defined",
        )
        for number, comment, namespaces in wanted
        if namespaces
    )
