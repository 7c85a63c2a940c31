"""Media profiles as zeep returns them, told as `MediaProfile`s: the same values from Media and from Media2."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from adapters.onvif.envelope import printable
from adapters.onvif.report import MediaProfile

MAX_PROFILES: Final = 16
"""Profiles that are asked for their addresses; a panoramic camera has a dozen."""

_MAX_TOKEN: Final = 64
"""Characters of a reference token (ONVIF Core: tt:ReferenceToken)."""


def profiles_of_media(reply: Any) -> list[MediaProfile]:
    """Return the profiles of Media's `GetProfiles`, without addresses."""
    return [
        _profile(
            profile,
            encoder=_of(profile, "VideoEncoderConfiguration"),
            source=_of(profile, "VideoSourceConfiguration"),
            ptz=_of(profile, "PTZConfiguration"),
        )
        for profile in _each(reply)
    ]


def profiles_of_media2(reply: Any) -> list[MediaProfile]:
    """Return the profiles of Media2's `GetProfiles`, without addresses."""
    found = []
    for profile in _each(reply):
        parts = _of(profile, "Configurations")
        found.append(
            _profile(
                profile,
                encoder=_of(parts, "VideoEncoder"),
                source=_of(parts, "VideoSource"),
                ptz=_of(parts, "PTZ"),
            )
        )
    return found


def main_first(profiles: Iterable[MediaProfile]) -> Sequence[MediaProfile]:
    """Return `profiles` with the main stream first: most pixels, then highest bitrate, then the device's order."""
    return sorted(profiles, key=lambda each: (-each.width * each.height, -each.bitrate))


def with_addresses(profile: MediaProfile, *, stream: str, snapshot: str) -> MediaProfile:
    """Return `profile` with its addresses."""
    return replace(profile, stream_uri=stream, snapshot_uri=snapshot)


def _profile(profile: Any, *, encoder: Any, source: Any, ptz: Any) -> MediaProfile:
    resolution, rate = _of(encoder, "Resolution"), _of(encoder, "RateControl")
    # Media keeps the GOP length with the codec's own settings, Media2 with the encoder.
    gop = _of(encoder, "GovLength") or _of(_of(encoder, "H264"), "GovLength")
    return MediaProfile(
        token=str(_of(profile, "token") or "")[:_MAX_TOKEN],
        name=printable(_of(profile, "Name")),
        encoding=printable(_of(encoder, "Encoding")).upper(),
        width=_whole(_of(resolution, "Width")),
        height=_whole(_of(resolution, "Height")),
        frame_rate=_number(_of(rate, "FrameRateLimit")),
        bitrate=_whole(_of(rate, "BitrateLimit")),
        gop=_whole(gop),
        stream_uri="",
        snapshot_uri="",
        has_ptz=ptz is not None,
        video_source=str(_of(source, "SourceToken") or "")[:_MAX_TOKEN],
    )


def _each(reply: Any) -> list[Any]:
    return [] if reply is None else list(reply)[:MAX_PROFILES]


def _of(value: Any, name: str) -> Any:
    return None if value is None else getattr(value, name, None)


def _whole(value: Any) -> int:
    return int(_number(value))


def _number(value: Any) -> float:
    """Return a device's number; 0 for none, and for one that no picture has."""
    number = float(value) if isinstance(value, int | float) else 0.0
    return number if 0 <= number < 1e7 else 0.0
