"""What the API needs of the rest of the gateway, as narrow interfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Protocol

from catalog.access import Tokens
from catalog.credentials import Vault
from catalog.database import Database
from catalog.model.secret import Secret
from catalog.reading import Region
from catalog.reports import Reports, View
from gateway.api.access_recorder import AccessRecorder
from gateway.api.authentication import Authentication
from gateway.api.limits import RateLimit, Turns
from gateway.api.stale import StaleAnswers
from gateway.clock import Clock
from gateway.config import Config

if TYPE_CHECKING:  # what only annotations name; the command line need not load it
    from adapters.gb28181.records import Recording
    from gateway.discovery_plan import SweepRequest
    from gateway.metrics import Metrics
    from gateway.onvif.ptz_desk import PtzCommand, PtzView
    from gateway.relay.budget import Usage
    from gateway.relay.limits import Shortage
    from gateway.relay.placement import WorkerLoad
    from gateway.relay.view import RelaySnapshot
    from gateway.serving.grants import Grant, Viewer
    from gateway.status_feed import StatusFeed
    from gateway.status_view import StatusView
    from gateway.viewing.desk import Shown
    from gateway.viewing.process import Still


class StatusBoard(Protocol):
    """The acknowledged status in memory (`gateway.status.StatusService`)."""

    @property
    def feed(self) -> StatusFeed:
        """The live feed of acknowledged changes."""
        ...

    def view(self, source_id: int) -> StatusView | None:
        """Return the status of a source, or None if it is not watched here."""
        ...

    def view_by_code(self, gb_id: str) -> StatusView | None:
        """Return the status of the source with this code, or None."""
        ...


class RelayBoard(Protocol):
    """The running relays (`gateway.relay.manager.RelayManager`)."""

    def snapshot(self) -> Sequence[RelaySnapshot]:
        """Return every relay as it stands."""
        ...

    def loads(self) -> Sequence[WorkerLoad]:
        """Return how busy each worker is."""
        ...


class BudgetBoard(Protocol):
    """What is pulled against which limits (`gateway.enrolment.service.Enrolment`)."""

    def budget(self) -> Usage:
        """Return how the budget stands."""
        ...


class OnDemand(Protocol):
    """Relays that somebody asks for, beside those that always run."""

    async def start(self, source_id: int) -> str | Shortage | None:
        """Ask for a relay, or say that it is still wanted; return None, the obstacle in one word, or our limit.

        Raises:
            SourceUnknown: no such source is watched here.
        """
        ...

    async def stop(self, source_id: int) -> bool:
        """Say that a relay is wanted no more; return whether it was asked for."""
        ...


class ViewDesk(Protocol):
    """Lets a person look at a source (`gateway.desks.Viewing`)."""

    def grant(self, source_id: int, viewer: Viewer) -> Grant:
        """Return a login for one look, to be used soon; raises `TooManyGrants`."""
        ...

    def addresses(self, source_id: int) -> Sequence[str]:
        """Return the URLs under which the source can be pulled, without any login in them; RTSPS first.

        Raises:
            SourceUnknown: no such source goes out from here.
        """
        ...


class SweepDesk(Protocol):
    """Begins and stops sweeps of authorised networks (`gateway.discovery.Discovery`)."""

    async def start(self, request: SweepRequest) -> int:
        """Begin a sweep and return its number; raises `SweepRefused`."""
        ...

    async def stop(self, run_id: int, *, person: str) -> bool:
        """Stop a sweep; return whether it was running."""
        ...


class CredentialDesk(Protocol):
    """Tries a stored credential on the matched devices that ask for it."""

    async def try_credential(self, ref: str) -> Sequence[tuple[str, str]]:
        """Return address and outcome (`accepted`, or one word of the cause) of each device tried."""
        ...


class OnvifDesk(Protocol):
    """Asks and turns the ONVIF devices of sources (`gateway.desks.OnvifDevicesDesk`).

    Every method raises `NoDevice` where a source has none that may be asked, `AdapterError` where it fails.
    """

    async def interrogate(self, source_id: int) -> None:
        """Interrogate the device of a source now; what came of it is in the catalog."""
        ...

    async def ptz_view(self, source_id: int) -> PtzView:
        """Return where the camera looks and its stored positions."""
        ...

    async def turn(self, source_id: int, command: PtzCommand, *, person: str, purpose: str) -> object:
        """Carry a command out and note it; raises `Steered` and `TooManySteered` as well."""
        ...


class RecordingsDesk(Protocol):
    """Asks devices that register which recordings they hold (`gateway.gb28181.service.DeviceService`)."""

    async def recordings(self, source_id: int, day: date) -> tuple[Sequence[Recording], bool]:
        """Return what a source's channel has of a local day, and whether the answer was whole.

        Raises `NoDevice` where the source comes over no such device, `AdapterError` where that fails.
        """
        ...


class LiveDesk(Protocol):
    """Live pictures for browsers (`gateway.desks.LivePictures`).

    `view` and `still` raise `Refused` where the look does not hold or nothing plays, `NotShown` where there is no
    picture.
    """

    def code_of(self, source_id: int) -> str:
        """Return under which code a source goes out; raises `SourceUnknown`."""
        ...

    def look(self, source_id: int, viewer: Viewer) -> Secret:
        """Return a login for one look, to be used soon; raises `TooManyGrants`."""
        ...

    async def view(self, look: str, code: str, sdp: str, *, client: str, addresses: tuple[str, ...]) -> Shown:
        """Begin a view and return the answer to the browser's offer."""
        ...

    async def still(self, look: str, code: str, *, client: str) -> Still:
        """Return a single picture."""
        ...

    def leave(self, handle: str) -> bool:
        """End a view; return whether there was one."""
        ...


@dataclass(frozen=True)
class ApiServices:
    """Everything that the API and the operator's page work with; made by the composition root."""

    database: Database
    clock: Clock
    config: Config
    metrics: Metrics
    status: StatusBoard
    vault: Vault
    recorder: AccessRecorder
    relays: RelayBoard | None = None
    "None while no relay manager runs: the list is empty and starting one is refused."
    budget: BudgetBoard | None = None
    on_demand: OnDemand | None = None
    sweeps: SweepDesk | None = None
    credential_desk: CredentialDesk | None = None
    view_desk: ViewDesk | None = None
    "None while nobody may pull from us."
    live_desk: LiveDesk | None = None
    "None while live pictures are switched off."
    onvif_desk: OnvifDesk | None = None
    "None while ONVIF is switched off."
    recordings_desk: RecordingsDesk | None = None
    "None while GB/T 28181 is switched off."
    reports: Reports = field(init=False)
    tokens: Tokens = field(init=False)
    authentication: Authentication = field(init=False)
    stale: StaleAnswers = field(default_factory=StaleAnswers)
    large_bodies: Turns = field(default_factory=lambda: Turns(2))
    "Roll files under way: each is held in memory as a whole."
    long_reports: Turns = field(default_factory=lambda: Turns(2))
    "Reports of rates and of whole periods under way: each reads the whole histories of its region."
    printing: Turns = field(default_factory=lambda: Turns(1))
    "Stored reports being written as PDF or workbook: seconds of a processor each."
    # 50 calls a second and token, 100 at once; an anonymous address a tenth of it.
    rate: RateLimit = field(default_factory=lambda: RateLimit(50, 100))
    public_rate: RateLimit = field(default_factory=lambda: RateLimit(5, 30))

    def __post_init__(self) -> None:
        object.__setattr__(self, "reports", Reports(self.database))
        object.__setattr__(self, "tokens", Tokens(self.database))
        object.__setattr__(self, "authentication", Authentication(self.tokens, self.clock))

    def view(self, region: Region) -> View:
        """Return from where a caller with this region looks now."""
        return View(now=self.clock.now(), region=region, stale_after=self.config.status.stale_after)
