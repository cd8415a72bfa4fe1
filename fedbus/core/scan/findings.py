"""Gathers the vulnerabilities of one report and the modules they are in."""

from collections.abc import Iterable

from fedbus.core.scan.finish import LIMITS
from fedbus.core.scan.packages import FIX_EXISTS
from fedbus.core.scan.values import cut
from fedbus.errors import Fault, InvalidInput
from fedbus.model.scan import Module, ModuleCve, Vulnerability

_Key = tuple[str, str, str]


class Findings:
    """What was found so far; a module is one name, version and ecosystem, wherever it lies."""

    def __init__(self) -> None:
        self._found: list[Vulnerability] = []
        self._modules: dict[_Key, Module] = {}
        self._states: dict[_Key, dict[str, str]] = {}
        self._layers: dict[str, dict[str, None]] = {}

    @property
    def vulnerabilities(self) -> tuple[Vulnerability, ...]:
        """Everything that was found, in its order."""
        return tuple(self._found)

    @property
    def modules(self) -> tuple[Module, ...]:
        """All modules, each with the state of its vulnerabilities."""
        return tuple(self._complete(key, module) for key, module in self._modules.items())

    def in_layer(self, *digests: str) -> tuple[str, ...]:
        """Return the names of the vulnerabilities of a layer, which scanners name by either digest."""
        return tuple(dict.fromkeys(name for digest in digests for name in self._layers.get(digest, ())))

    def add(
        self,
        found: Vulnerability,
        *,
        ecosystem: str = "",
        source: str = "",
        status: str = "",
        layers: Iterable[str] = (),
    ) -> None:
        """Take a vulnerability and its module; `status` is one of NeuVector's words. Raises InvalidInput."""
        if len(self._found) == LIMITS["vulnerabilities"]:
            message = f"the report has more than {len(self._found)} vulnerabilities"
            raise InvalidInput(message, (Fault("", message),))
        self._found.append(found)
        for layer in layers:
            if layer:
                self._layers.setdefault(layer, {})[found.name] = None
        if found.package_name:
            key = self.module(
                found.package_name, found.package_version, ecosystem, source=source, file=found.file_name
            )
            states = self._states.setdefault(key, {})
            if states.get(found.name) != FIX_EXISTS:
                states[found.name] = status

    def module(
        self,
        name: str,
        version: str,
        ecosystem: str,
        *,
        source: str = "",
        file: str = "",
        cpes: tuple[str, ...] = (),
    ) -> _Key:
        """Take a module, unless it is known."""
        key = (name, version, ecosystem)
        if key not in self._modules:
            self._modules[key] = Module(
                name=cut(name, 512),
                version=cut(version, 256),
                ecosystem=ecosystem,
                source=source,
                file=file,
                cpes=cpes,
            )
        return key

    def _complete(self, key: _Key, module: Module) -> Module:
        states = self._states.get(key)
        if not states:
            return module
        cves = tuple(ModuleCve(name=name, status=status) for name, status in states.items())
        return Module(
            name=module.name,
            version=module.version,
            file=module.file,
            source=module.source,
            ecosystem=module.ecosystem,
            cves=cves,
            cpes=module.cpes,
        )
