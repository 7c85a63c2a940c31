"""Small fittings between the API's narrow interfaces and the parts behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.credentials import Vault
from catalog.database import Database
from catalog.sources import SourceUnknown
from gateway.clock import Clock
from gateway.credential_trial import try_credential
from gateway.enrolment.service import Enrolment
from gateway.relay.limits import Shortage


@dataclass(frozen=True)
class OnDemandRelays:
    """Starts and stops relays on demand, through enrolment alone."""

    enrolment: Enrolment
    idle_stop: float
    "Seconds that one call keeps a relay running."

    async def start(self, source_id: int) -> str | Shortage | None:
        """Ask for a relay, or say that it is still wanted; return None, the obstacle in one word, or our limit.

        Raises:
            SourceUnknown: no such source is on the roll of this gateway.
        """
        try:
            return self.enrolment.start_on_demand(source_id, self.idle_stop)
        except LookupError as error:
            raise SourceUnknown(str(error)) from error

    async def stop(self, source_id: int) -> bool:
        """Say that a relay is wanted no more; return whether it is a source of ours."""
        if self.enrolment.phase_of(source_id) is None:
            return False
        self.enrolment.stop_on_demand(source_id)
        return True


@dataclass(frozen=True)
class CredentialTrials:
    """Tries a stored credential for the API."""

    database: Database
    vault: Vault
    gateway_id: str
    clock: Clock

    async def try_credential(self, ref: str) -> Sequence[tuple[str, str]]:
        """Return address and outcome of each device tried."""
        return await try_credential(self.database, self.vault, self.gateway_id, ref, at=self.clock.now())
