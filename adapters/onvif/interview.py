"""Asks a device who it is and what it streams, step by step, and notes what had to be worked round."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from adapters.base import OnvifTarget
from adapters.errors import (
    CredentialMissing,
    RemoteProtocolError,
    RequestRefused,
    SoapFault,
)
from adapters.onvif.addresses import Rewritten, rewrite_service, rewrite_stream
from adapters.onvif.documents import DEVICE, MEDIA, MEDIA2, PTZ
from adapters.onvif.envelope import printable
from adapters.onvif.findings import Findings
from adapters.onvif.media import main_first, profiles_of_media, profiles_of_media2, with_addresses
from adapters.onvif.report import Identity, MediaProfile, NetworkInterface, Service
from adapters.onvif.soap import Caller

MAX_SERVICES: Final = 64
MAX_INTERFACES: Final = 16

NAMES: Final = {DEVICE: "device", MEDIA: "Media", MEDIA2: "Media2", PTZ: "PTZ"}
"""The services by their namespaces."""

_STREAM: Final[Mapping[str, dict[str, object]]] = {
    MEDIA: {"StreamSetup": {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}},
    MEDIA2: {"Protocol": "RTSP"},
}
"""How RTP inside RTSP is asked for, which passes every firewall that RTSP passes."""


class Interview:
    """One round of questions to one device.

    Attributes:
        findings: what was met on the way.
        listed: the services that the device has, once `find_services` asked.
    """

    def __init__(self, caller: Caller, listed: Sequence[Service] = ()) -> None:
        self.findings = Findings()
        self.listed = listed
        self._caller = caller

    @property
    def services(self) -> Mapping[str, str]:
        """Return the services' addresses by their namespaces."""
        return {each.namespace: each.xaddr for each in self.listed}

    async def learn_clock(self) -> None:
        """Ask the device's clock, which the specification gives to anybody, before anything is signed."""
        caller = self._caller
        try:
            reply = await caller.call(DEVICE, "GetSystemDateAndTime", signed=False)
        except (CredentialMissing, SoapFault, RequestRefused, RemoteProtocolError) as error:
            self.findings.deviate(
                f"GetSystemDateAndTime fails ({error.cause}); the Date header tells its clock"
            )
            return
        told = _utc_of(reply.value)
        if told is None:
            self.findings.deviate("GetSystemDateAndTime tells no UTC time")
            return
        caller.login.offset = told - caller.clock.now()

    async def find_services(self) -> None:
        """Ask which services the device has, and where."""
        caller = self._caller
        found: list[Service] = []
        try:
            reply = await caller.call(DEVICE, "GetServices", {"IncludeCapability": False})
            for each in (reply.value or ())[:MAX_SERVICES]:
                version = getattr(each, "Version", None)
                text = f"{getattr(version, 'Major', '')}.{getattr(version, 'Minor', '')}"
                self._add(found, str(each.Namespace or ""), str(each.XAddr or ""), text)
        except (SoapFault, RequestRefused, RemoteProtocolError) as error:
            self.findings.deviate(f"GetServices fails ({error.cause}); GetCapabilities is asked instead")
            reply = await caller.call(DEVICE, "GetCapabilities", {"Category": "All"})
            for namespace, part in ((MEDIA, "Media"), (PTZ, "PTZ")):
                capability = getattr(reply.value, part, None)
                if capability is not None:
                    self._add(found, namespace, str(capability.XAddr or ""), "")
        self.listed = tuple(found)

    def _add(self, found: list[Service], namespace: str, xaddr: str, version: str) -> None:
        rewritten = self._rewritten(rewrite_service, xaddr)
        if rewritten:
            found.append(Service(printable(namespace), rewritten, version[:16]))

    def _rewritten(self, rewrite: Callable[[str, OnvifTarget], Rewritten], address: str) -> str:
        try:
            rewritten = rewrite(address, self._caller.target)
        except RemoteProtocolError as error:
            self.findings.deviate(f"names {error.args[0]}")
            return ""
        if rewritten.named:
            self.findings.name_foreign(rewritten.named)
        return rewritten.url

    async def identity(self) -> Identity:
        """Ask who the device is."""
        reply = await self._caller.call(DEVICE, "GetDeviceInformation")
        self.findings.repaired("GetDeviceInformation", reply.undeclared)
        told = reply.value
        return Identity(
            manufacturer=printable(getattr(told, "Manufacturer", None)),
            model=printable(getattr(told, "Model", None)),
            firmware_version=printable(getattr(told, "FirmwareVersion", None)),
            serial_number=printable(getattr(told, "SerialNumber", None)),
            hardware_id=printable(getattr(told, "HardwareId", None)),
        )

    async def interfaces(self) -> Sequence[NetworkInterface]:
        """Ask for the network interfaces, whose MAC addresses name the device."""
        reply = await self._caller.call(DEVICE, "GetNetworkInterfaces")
        self.findings.repaired("GetNetworkInterfaces", reply.undeclared)
        return [_interface(each) for each in (reply.value or ())[:MAX_INTERFACES]]

    async def profiles(self) -> Sequence[MediaProfile]:
        """Return the media profiles with their addresses, main stream first; Media2 is asked before Media."""
        if MEDIA2 in self.services:
            try:
                return await self._profiles_of(MEDIA2)
            except (SoapFault, RequestRefused, RemoteProtocolError) as error:
                if MEDIA not in self.services:
                    raise
                self.findings.deviate(f"Media2 fails ({error.cause}); Media is asked instead")
        return await self._profiles_of(MEDIA)

    async def _profiles_of(self, service: str) -> Sequence[MediaProfile]:
        if service == MEDIA2:
            listed = profiles_of_media2(await self._call(MEDIA2, "GetProfiles", {"Type": ["All"]}))
        else:
            listed = profiles_of_media(await self._call(MEDIA, "GetProfiles"))
        return main_first([await self._addressed(service, profile) for profile in listed])

    async def _addressed(self, service: str, profile: MediaProfile) -> MediaProfile:
        token = {"ProfileToken": profile.token}
        stream = await self.findings.optional(
            "GetStreamUri", self._call(service, "GetStreamUri", _STREAM[service] | token), None
        )
        snapshot = await self.findings.optional(
            "GetSnapshotUri", self._call(service, "GetSnapshotUri", token), None
        )
        return with_addresses(
            profile,
            stream=self._uri(rewrite_stream, stream),
            snapshot=self._uri(rewrite_service, snapshot),
        )

    def _uri(self, rewrite: Callable[[str, OnvifTarget], Rewritten], reply: Any) -> str:
        # Media wraps the address in a MediaUri, Media2 returns it as it is.
        address = getattr(reply, "Uri", reply)
        return "" if not address else self._rewritten(rewrite, str(address))

    async def _call(
        self, service: str, name: str, arguments: Mapping[str, object] = MappingProxyType({})
    ) -> Any:
        url = self.services.get(service)
        if url is None:
            raise RequestRefused(
                f"{name}: the device has no {NAMES[service]} service",
                peer=self._caller.target.peer,
                status=501,
            )
        reply = await self._caller.call(service, name, arguments, url=url)
        self.findings.repaired(name, reply.undeclared)
        return reply.value


def _interface(told: Any) -> NetworkInterface:
    info = getattr(told, "Info", None)
    found: list[str] = []
    for family in ("IPv4", "IPv6"):
        config = getattr(getattr(told, family, None), "Config", None)
        for part in ("Manual", "FromDHCP", "LinkLocal"):
            entries = getattr(config, part, None) or []
            for entry in entries if isinstance(entries, list) else [entries]:
                found.append(printable(getattr(entry, "Address", None)))
    return NetworkInterface(
        name=printable(getattr(info, "Name", None)),
        mac=_mac(str(getattr(info, "HwAddress", None) or "")),
        addresses=tuple(each for each in found if each)[:16],
    )


def _mac(text: str) -> str:
    digits = "".join(letter for letter in text.lower() if letter in "0123456789abcdef")
    if len(digits) != 12 or digits == "0" * 12:
        return ""
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _utc_of(told: Any) -> datetime | None:
    utc = getattr(told, "UTCDateTime", None)
    date: Any = getattr(utc, "Date", None)
    time: Any = getattr(utc, "Time", None)
    try:
        return datetime(date.Year, date.Month, date.Day, time.Hour, time.Minute, time.Second, tzinfo=UTC)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
