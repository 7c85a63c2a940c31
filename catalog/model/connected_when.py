"""When a site counts as connected: WX-34(2) is silent, so it is a parameter (status model 4.4).

A case is found and fulfilled by the one that is set; how the others would read stands in its evidence.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final


class RuleInvalid(ValueError):
    """Raised when a rule is none; the message says how it is written."""


@dataclass(frozen=True)
class ConnectedWhen:
    """A rule: so large a share of the required sources must have connected, one of them at least."""

    share: Decimal

    @classmethod
    def read(cls, text: str) -> "ConnectedWhen":
        """Return a rule as it is written: `all_required_sources`, `any_source`, or a share such as `0.8`.

        Raises:
            RuleInvalid: it is written otherwise.
        """
        if text in _NAMED:
            return cls(_NAMED[text])
        if re.fullmatch(r"0\.[0-9]{1,4}|1\.0{1,4}", text) is None or not Decimal(text):
            raise RuleInvalid(f"write {', '.join(_NAMED)}, or a share from 0.0001 to 1.0, not {text[:40]!r}")
        return cls(Decimal(text))

    def needed(self, required: int) -> int:
        """Return how many of so many required sources must have connected."""
        return max(1, int((self.share * required).to_integral_value(ROUND_CEILING)))

    def holds(self, connected: int, required: int) -> bool:
        """Tell whether a site counts as connected; without a required source it does not."""
        return connected >= self.needed(required)

    def __str__(self) -> str:
        return next((name for name, share in _NAMED.items() if share == self.share), str(self.share))


_NAMED: Final = {"all_required_sources": Decimal(1), "any_source": Decimal(0)}

ALL_SOURCES: Final = ConnectedWhen(Decimal(1))
ANY_SOURCE: Final = ConnectedWhen(Decimal(0))
