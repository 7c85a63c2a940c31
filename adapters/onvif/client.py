"""ONVIF devices, asked and turned: the one door to them.

    async with OnvifClients(clock) as clients:
        device = clients.device(target, credential, may_reach=networks.permit)
        report = await device.interrogate()

One set of service descriptions, one HTTP session and one bound on concurrency for the process; a device costs a few
hundred bytes. Nothing is sent before the first call, and a credential goes to `target` alone, never readable.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self
from urllib.parse import urlsplit

from adapters.base import Credential, OnvifTarget
from adapters.errors import AddressForbidden, RemoteProtocolError, RequestRefused
from adapters.onvif.documents import MEDIA, MEDIA2, PTZ, Documents, load_documents
from adapters.onvif.http_message import Request
from adapters.onvif.interview import NAMES, Interview
from adapters.onvif.login import Login
from adapters.onvif.ptz import duration, presets_of, status_of, vector
from adapters.onvif.report import DeviceReport, MediaProfile, PanTilt, Preset, PtzStatus, Service
from adapters.onvif.soap import Caller, WallClock
from adapters.onvif.transport import HttpTransport

MAX_SNAPSHOT: Final = 8 * 1024 * 1024
"""Bytes of one picture."""


class OnvifClients:
    """What all devices share.

    Args:
        clock: wall time for signatures.
        concurrency: requests under way at once.
        timeout: seconds for one request.
    """

    def __init__(self, clock: WallClock, *, concurrency: int = 64, timeout: float = 10.0) -> None:
        self._clock = clock
        self._transport = HttpTransport(concurrency=concurrency, timeout=timeout)
        self._documents: Documents | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._documents = await load_documents()
        await self._stack.enter_async_context(self._transport)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def device(
        self, target: OnvifTarget, credential: Credential | None, *, may_reach: Callable[[str], bool]
    ) -> "OnvifDevice":
        """Return the device at `target`; nothing is sent yet.

        Args:
            target: its device service; the host is an IP address.
            credential: the credential of exactly this device, or None.
            may_reach: tells of an IP address whether it lies in an authorised network now; asked before each request.
        """
        if self._documents is None:
            raise RuntimeError("the ONVIF clients are not open")
        login = Login(credential, target.peer, allow_basic=target.tls is not None)
        return OnvifDevice(Caller(target, login, self._documents, self._transport, self._clock, may_reach))


class OnvifDevice:
    """One device. Every method raises `AdapterError` kinds only."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._listed: Sequence[Service] = ()

    @property
    def target(self) -> OnvifTarget:
        """Return where the device is reached."""
        return self._caller.target

    async def interrogate(self) -> DeviceReport:
        """Ask the device who it is and what it streams.

        Identity and profiles are essential; whatever else it will not tell becomes a deviation.
        """
        interview = await self._begin()
        findings = interview.findings
        identity = await interview.identity()
        interfaces = await findings.optional("GetNetworkInterfaces", interview.interfaces(), ())
        profiles = await interview.profiles()
        offset = self._caller.login.offset
        return DeviceReport(
            identity=identity,
            services=interview.listed,
            interfaces=interfaces,
            profiles=profiles,
            clock_offset=None if offset is None else offset.total_seconds(),
            rewritten_xaddrs=tuple(findings.foreign),
            deviations=tuple(findings.deviations),
        )

    async def profiles(self) -> Sequence[MediaProfile]:
        """Return the media profiles with their addresses, main stream first."""
        await self._ready()
        return await Interview(self._caller, self._listed).profiles()

    async def set_synchronization_point(self, profile: str) -> None:
        """Ask for a key frame on the profile's streams now."""
        services = await self._ready()
        service = MEDIA2 if MEDIA2 in services else MEDIA
        await self._ask(service, "SetSynchronizationPoint", ProfileToken=profile)

    async def continuous_move(self, profile: str, velocity: PanTilt, *, stop_after: float) -> None:
        """Begin to move; the device stops by itself after `stop_after` seconds."""
        await self._ask(
            PTZ,
            "ContinuousMove",
            ProfileToken=profile,
            Velocity=vector(velocity),
            Timeout=duration(stop_after),
        )

    async def absolute_move(self, profile: str, position: PanTilt) -> None:
        """Move to `position`."""
        await self._ask(PTZ, "AbsoluteMove", ProfileToken=profile, Position=vector(position))

    async def relative_move(self, profile: str, translation: PanTilt) -> None:
        """Move by `translation`."""
        await self._ask(PTZ, "RelativeMove", ProfileToken=profile, Translation=vector(translation))

    async def stop(self, profile: str) -> None:
        """Stop every movement."""
        await self._ask(PTZ, "Stop", ProfileToken=profile, PanTilt=True, Zoom=True)

    async def presets(self, profile: str) -> Sequence[Preset]:
        """Return the stored positions."""
        return presets_of(await self._ask(PTZ, "GetPresets", ProfileToken=profile))

    async def go_to_preset(self, profile: str, preset: str) -> None:
        """Move to a stored position."""
        await self._ask(PTZ, "GotoPreset", ProfileToken=profile, PresetToken=preset)

    async def set_preset(self, profile: str, name: str) -> str:
        """Store the present position and return its token."""
        return str(await self._ask(PTZ, "SetPreset", ProfileToken=profile, PresetName=name))[:64]

    async def remove_preset(self, profile: str, preset: str) -> None:
        """Forget a stored position."""
        await self._ask(PTZ, "RemovePreset", ProfileToken=profile, PresetToken=preset)

    async def go_to_home(self, profile: str) -> None:
        """Move to the home position."""
        await self._ask(PTZ, "GotoHomePosition", ProfileToken=profile)

    async def set_home(self, profile: str) -> None:
        """Make the present position the home position."""
        await self._ask(PTZ, "SetHomePosition", ProfileToken=profile)

    async def ptz_status(self, profile: str) -> PtzStatus:
        """Return where the camera looks and whether it moves."""
        return status_of(await self._ask(PTZ, "GetStatus", ProfileToken=profile))

    async def snapshot(self, profile: MediaProfile) -> bytes:
        """Return a JPEG picture from the profile's snapshot address.

        Raises:
            RequestRefused: the device offers none, or will not hand it over.
        """
        caller, uri = self._caller, profile.snapshot_uri
        if not uri:
            raise RequestRefused("offers no snapshot", peer=self.target.peer, status=404)
        parts = urlsplit(uri)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        tries = 0
        while True:
            authorization = caller.login.authorization("GET", path)
            headers = {} if authorization is None else {"Authorization": authorization}
            answer = await caller.transport.send(
                Request("GET", uri, headers, limit=MAX_SNAPSHOT), self.target, caller.may_reach
            )
            if answer.status != 401:
                break
            caller.login.after_refusal(answer, None, caller.clock.now(), tries)
            tries += 1
        if answer.location:
            raise AddressForbidden("redirects a snapshot, which is not followed", peer=self.target.peer)
        if answer.status != 200:
            raise RequestRefused(
                f"snapshot: HTTP {answer.status}", peer=self.target.peer, status=answer.status
            )
        if not answer.body.startswith(b"\xff\xd8"):
            raise RemoteProtocolError(
                "a snapshot that is no JPEG", peer=self.target.peer, received=answer.body
            )
        return answer.body

    async def _ask(self, service: str, name: str, **arguments: object) -> Any:
        services = await self._ready()
        if service not in services:
            raise RequestRefused(
                f"{name}: the device has no {NAMES[service]} service", peer=self.target.peer, status=501
            )
        return (await self._caller.call(service, name, arguments, url=services[service])).value

    async def _ready(self) -> Mapping[str, str]:
        """Return the addresses of the device's services, asked once."""
        if not self._listed:
            await self._begin()
        return {each.namespace: each.xaddr for each in self._listed}

    async def _begin(self) -> Interview:
        interview = Interview(self._caller)
        await interview.learn_clock()
        await interview.find_services()
        self._listed = interview.listed
        return interview
