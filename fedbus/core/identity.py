"""Who asks to join: somebody new, or a member that comes back and keeps its id: no double is left behind."""

from collections.abc import Iterable

import msgspec

from fedbus.model.federation import Cluster, JoinRequest, Token


def returning(
    clusters: Iterable[Cluster], token: Token, request: JoinRequest, *, by_uid: bool
) -> Cluster | None:
    """Return the member that a request is from; None if it is nobody's yet.

    The same keys are proof: the request is signed by them. The cluster's uid is only said, so it counts
    (`by_uid`) with a token that was made for that very name: whoever made it wants this cluster back.
    """
    for member in clusters:
        if member.state != "joined" or member.name != request.name:
            continue
        if (member.nkey, member.renew_nkey) == (request.nkey, request.renew_nkey):
            return member
        if by_uid and token.cluster_name == member.name and request.cluster_uid:
            return member if request.cluster_uid == member.cluster_uid else None
    return None


def taken_over(member: Cluster, request: JoinRequest, token: Token, *, at: str, now: int) -> Cluster:
    """Return a member as it is after it came back; keys it had before are to be revoked."""
    old = {member.nkey, member.renew_nkey} - {request.nkey, request.renew_nkey}
    return msgspec.structs.replace(
        member,
        nkey=request.nkey,
        renew_nkey=request.renew_nkey,
        versions=request.versions,
        joined_at=at,
        labels=member.labels | request.labels | token.labels,
        cluster_uid=request.cluster_uid or member.cluster_uid,
        rest=request.rest if request.rest.server else member.rest,
        token_id=token.id,
        former_keys=member.former_keys | dict.fromkeys(sorted(old), now),
    )
