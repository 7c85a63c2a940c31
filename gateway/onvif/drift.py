"""What differs between two interrogations of a device, and between a device and the roll (pure)."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from adapters.onvif.report import DeviceReport, MediaProfile
from catalog.onvif_devices import DeviceEvent, DeviceEventKind, DueDevice

_STREAM: Final = ("stream_uri", "encoding", "width", "height")


def report_as_json(report: DeviceReport) -> dict[str, Any]:
    """Return a report as JSON values; it holds no secret, as addresses in it have no user name."""
    return asdict(report)


def identity_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Return what makes a device itself: everything of its information but the firmware, and its MAC addresses."""
    identity = {name: str(value) for name, value in report["identity"].items() if name != "firmware_version"}
    macs = sorted(interface["mac"] for interface in report["interfaces"] if interface["mac"])
    return {**identity, "macs": ", ".join(macs)}


def mac_at(report: DeviceReport, host: str, wanted: str | None) -> str | None:
    """Return the device's MAC address: that of the roll if it has it, else of the interface with `host`, else any."""
    macs = [interface.mac for interface in report.interfaces if interface.mac]
    if wanted in macs:
        return wanted
    at_host = [each.mac for each in report.interfaces if each.mac and host in each.addresses]
    return next(iter([*at_host, *macs]), None)


def changes(device: DueDevice, report: DeviceReport, *, at: datetime, tolerance: float) -> list[DeviceEvent]:
    """Return the dated facts that an interrogation adds to what is known of `device`.

    Args:
        device: with its last report and clock offset.
        report: the new one.
        at: now, UTC.
        tolerance: seconds that a clock may be off.
    """
    now = report_as_json(report)
    events = _first(device, now) if device.report is None else _since(device.report, now)
    events += _clock(device.clock_offset, report.clock_offset, tolerance)
    return [DeviceEvent(device.source_id, at, kind, detail) for kind, detail in events]


def is_off(offset: float | None, tolerance: float) -> bool:
    """Tell whether a clock is further off than `tolerance` seconds; one that is not known is not."""
    return offset is not None and abs(offset) > tolerance


_News = list[tuple[DeviceEventKind, dict[str, object]]]


def _first(device: DueDevice, now: Mapping[str, Any]) -> _News:
    return [
        (
            DeviceEventKind.INTERROGATED,
            {
                "host": device.host,
                **identity_of(now),
                "firmware_version": now["identity"]["firmware_version"],
            },
        )
    ]


def _since(before: Mapping[str, Any], now: Mapping[str, Any]) -> _News:
    news: _News = []
    old, new = before["identity"]["firmware_version"], now["identity"]["firmware_version"]
    if old != new:
        news.append((DeviceEventKind.FIRMWARE_CHANGED, {"before": old, "after": new}))
    was, is_now = identity_of(before), identity_of(now)
    changed = [name for name in is_now if was.get(name) != is_now[name]]
    if changed:
        news.append(
            (
                DeviceEventKind.IDENTITY_CHANGED,
                {name: {"before": was.get(name), "after": is_now[name]} for name in changed},
            )
        )
    main_before, main_now = _main(before), _main(now)
    if main_before and main_now and main_before != main_now:
        news.append((DeviceEventKind.STREAM_CHANGED, {"before": main_before, "after": main_now}))
    return news


def _main(report: Mapping[str, Any]) -> dict[str, object]:
    profiles = report["profiles"]
    return {name: profiles[0][name] for name in _STREAM} if profiles else {}


def _clock(before: float | None, now: float | None, tolerance: float) -> _News:
    if now is None or is_off(before, tolerance) == is_off(now, tolerance):
        return []
    kind = DeviceEventKind.CLOCK_WRONG if is_off(now, tolerance) else DeviceEventKind.CLOCK_RIGHT
    return [(kind, {"offset_seconds": round(now, 1)})]


def one_lens(profiles: "list[MediaProfile] | tuple[MediaProfile, ...]") -> bool:
    """Tell whether all profiles look through one lens, so that the main stream is certainly the source's."""
    return len({profile.video_source for profile in profiles}) <= 1
