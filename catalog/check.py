"""Verify the invariants of a live database: what the constraints cannot say.

Read only: it reports, and a person decides. The statements stand in `sql/check.sql`, one an invariant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from catalog.database import Database

EXAMPLES: Final = 20
"""Findings of one invariant at most; more of the same tell nothing new."""

CHECK_TIMEOUT: Final = 300.0
"""Seconds for one invariant; a million sources with 90 days of history take a minute."""

INVARIANTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "check_overlapping_intervals": "closed intervals of a source never overlap",
        "check_gaps_in_history": "the history has no gap before the present state",
        "check_states_without_evidence": "every state has the evidence that caused it",
        "check_counted": "the counts hold exactly the sources that are neither removed nor rejected",
        "check_places": "roll and status agree on where a source stands",
        "check_site_rollups": "a site's counts equal a recount",
        "check_bound_sites": "a site's roll-up knows where it stands and since when a duty binds it",
        "check_district_rollups": "a district's counts are the sum of its sites'",
        "check_default_partition": "every closed interval lies in its month's partition",
        "check_public_entries": "no natural person is named to the public",
        "check_unconfirmed_connections": "nothing is connected without a confirmed address",
        "check_day_totals": "a closed day of a district is the sum of its sites'",
        "check_duties": "every required source is bound by a duty in force",
    }
)
"""Statement name → the sentence that must hold."""


@dataclass(frozen=True)
class Finding:
    """One row that breaks an invariant."""

    invariant: str
    "The sentence that does not hold."
    subject: str
    "Id of the source, site, district or entry."
    text: str


async def check(database: Database) -> list[Finding]:
    """Return what breaks an invariant, at most `EXAMPLES` of each; empty means that all hold.

    Raises:
        DatabaseAway: no answer.
    """
    findings: list[Finding] = []
    for statement, sentence in INVARIANTS.items():
        rows = await database.fetch(statement, EXAMPLES, within=CHECK_TIMEOUT)
        findings += [Finding(sentence, row["subject"], row["finding"]) for row in rows]
    return findings
