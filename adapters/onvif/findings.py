"""What an interrogation met on its way: departures from the standard, and addresses of other hosts."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from adapters.errors import AdapterError

MAX_FINDINGS: Final = 20
"""Of each kind; a device that deviates more says nothing new."""

_ESSENTIAL: Final = frozenset({"unreachable", "timeout", "closed", "local_error", "address_forbidden"})
"""Causes after which nothing else of the device can be asked either."""

Told = TypeVar("Told")


@dataclass
class Findings:
    """Collects the findings of one interrogation, each once."""

    deviations: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def deviate(self, sentence: str) -> None:
        """Take in a departure from the standard that was worked round."""
        if sentence not in self.deviations and len(self.deviations) < MAX_FINDINGS:
            self.deviations.append(sentence)

    def name_foreign(self, authority: str) -> None:
        """Take in that the device named another host as its own."""
        if authority not in self.foreign and len(self.foreign) < MAX_FINDINGS:
            self.foreign.append(authority)

    def repaired(self, operation: str, undeclared: tuple[str, ...]) -> None:
        """Take in that an answer was broken XML that could be repaired."""
        if undeclared:
            self.deviate(f"{operation}: XML with undeclared prefixes ({', '.join(undeclared)})")

    async def optional(self, name: str, asking: Awaitable[Told], otherwise: Told) -> Told:
        """Return what `asking` gives, or `otherwise` and a deviation where the device will not tell.

        Raises:
            AdapterError: the device is gone, so that asking on is no use.
        """
        try:
            return await asking
        except AdapterError as error:
            if error.cause in _ESSENTIAL:
                raise
            self.deviate(f"{name} fails ({error.cause})")
            return otherwise
