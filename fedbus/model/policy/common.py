"""What every policy kind shares."""

from typing import ClassVar, Literal

import msgspec

CfgType = Literal["learned", "user_created", "ground", "federal", "system_defined"]
"""Where an object comes from; `ground` is a Kubernetes custom resource."""

Action = Literal["allow", "deny"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """The root of all policy data, objects and their parts alike.

    `computed` names the fields that NeuVector answers but nobody sets (counters, timestamps, back
    references): an input that was once read from such an API may carry them, and they are left out.
    Any other unknown field is a fault of the input.
    """

    computed: ClassVar[frozenset[str]] = frozenset()
