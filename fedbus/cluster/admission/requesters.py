"""Who asked for a workload: for what a controller makes, whoever asked for the root of it."""

from collections import OrderedDict

import msgspec

from fedbus.model.review import Workload

KEEP = 20_000
"""Workloads whose requester is remembered; a controller makes the pods of older ones on nobody's behalf."""

_CONTROLLERS = (
    "system:serviceaccount:kube-system:",
    "system:serviceaccount:openshift-infra:",
    "system:kube-controller-manager",
)
"""Whose word is taken for the owner of a workload: anybody else might name somebody else's."""


class Requesters:
    """Remembers by uid who asked for a workload, and hands that down to what is made for it."""

    def __init__(self, keep: int = KEEP) -> None:
        self._known: OrderedDict[str, tuple[str, tuple[str, ...]]] = OrderedDict()
        self._keep = keep

    def attributed(self, workload: Workload) -> Workload:
        """Return a workload with the user and groups that its rules are about.

        A controller works for the owner's requester, or for nobody where the owner is not known.
        """
        if workload.owner is None or not workload.user.startswith(_CONTROLLERS):
            return workload
        user, groups = self._known.get(workload.owner.uid, ("", ()))
        return msgspec.structs.replace(workload, user=user, groups=groups)

    def remember(self, workload: Workload) -> None:
        """Remember who asked for an attributed workload."""
        if workload.uid and workload.user:
            self._known[workload.uid] = workload.user, workload.groups
            self._known.move_to_end(workload.uid)
            if len(self._known) > self._keep:
                self._known.popitem(last=False)
