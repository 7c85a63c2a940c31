"""The PTZ service's vectors, durations and states, between zeep's objects and our values."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters.onvif.envelope import printable
from adapters.onvif.report import PanTilt, Preset, PtzStatus

MAX_PRESETS: Final = 300
"""Presets that are listed; the specification's largest device has 256."""


def vector(value: PanTilt) -> dict[str, object]:
    """Return a `PTZVector` or `PTZSpeed` with only the axes that are set."""
    found: dict[str, object] = {}
    if value.pan is not None or value.tilt is not None:
        found["PanTilt"] = {"x": value.pan or 0.0, "y": value.tilt or 0.0}
    if value.zoom is not None:
        found["Zoom"] = {"x": value.zoom}
    return found


def duration(seconds: float) -> timedelta:
    """Return a device-side timeout; whole seconds upward, which every device reads."""
    return timedelta(seconds=max(1, int(-(-seconds // 1))))


def status_of(reply: Any) -> PtzStatus:
    """Return `GetStatus` as a value."""
    position = getattr(reply, "Position", None)
    return PtzStatus(_position(position), _moving(getattr(reply, "MoveStatus", None)), _instant(reply))


def presets_of(reply: Any) -> list[Preset]:
    """Return `GetPresets` as values."""
    presets = [] if reply is None else list(reply)[:MAX_PRESETS]
    return [
        Preset(str(getattr(each, "token", "") or "")[:64], printable(getattr(each, "Name", None)))
        for each in presets
    ]


def _position(position: Any) -> PanTilt:
    pan_tilt, zoom = getattr(position, "PanTilt", None), getattr(position, "Zoom", None)
    return PanTilt(_axis(pan_tilt, "x"), _axis(pan_tilt, "y"), _axis(zoom, "x"))


def _axis(vector: Any, name: str) -> float | None:
    value = getattr(vector, name, None)
    return float(value) if isinstance(value, int | float) else None


def _moving(status: Any) -> bool | None:
    states = {str(getattr(status, axis, None) or "").upper() for axis in ("PanTilt", "Zoom")}
    if "MOVING" in states:
        return True
    return False if "IDLE" in states else None


def _instant(reply: Any) -> datetime | None:
    told = getattr(reply, "UtcTime", None)
    if not isinstance(told, datetime):
        return None
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
