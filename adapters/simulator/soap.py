"""What a virtual camera answers over SOAP: Device, Media, Media2 and PTZ, from templates (sans-IO)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

from adapters.simulator.camera import Condition, Fault, VirtualCamera

FOREIGN_HOST: Final = "192.0.2.250"
"""Of the documentation range: nothing of ours answers there."""

_NAMESPACES: Final = (
    ' xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:tds="http://www.onvif.org/ver10/device/wsdl"'
    ' xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tr2="http://www.onvif.org/ver20/media/wsdl"'
    ' xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl" xmlns:ter="http://www.onvif.org/ver10/error"'
)
_OPERATION: Final = re.compile(r"<(?:[\w.-]+:)?Body\b[^>]*>\s*<(?:([\w.-]+):)?(\w+)")
_OPEN: Final = frozenset({"GetSystemDateAndTime", "GetServices", "GetCapabilities", "GetServiceCapabilities"})
"""What anybody may ask (ONVIF Core, access class PRE_AUTH)."""


@dataclass(frozen=True)
class SoapAnswer:
    """One answer."""

    status: int
    body: str


def operation_of(body: str) -> str:
    """Return the name of the operation that an envelope asks for; "" for none."""
    found = _OPERATION.search(body)
    return "" if found is None else found[2]


def is_open(operation: str) -> bool:
    """Tell whether anybody may ask this."""
    return operation in _OPEN


def fault(status: int, code: str, reason: str) -> SoapAnswer:
    """Return a fault of SOAP 1.2 with ONVIF's subcode."""
    return SoapAnswer(
        status,
        _envelope(
            f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:{code}</s:Value></s:Subcode></s:Code>"
            f'<s:Reason><s:Text xml:lang="en">{escape(reason)}</s:Text></s:Reason></s:Fault>'
        ),
    )


def answer(camera: VirtualCamera, condition: Condition, body: str, now: datetime) -> SoapAnswer:
    """Return the answer to an envelope that was let in.

    Args:
        camera: who answers.
        condition: how it is; commands change it.
        body: the envelope.
        now: by the camera's own clock, UTC.
    """
    operation = operation_of(body)
    service = "tr2" if "ver20/media/wsdl" in body else "trt"
    question = _Question(camera, condition, body, now, service)
    maker = _ANSWERS.get(operation)
    if maker is None or (service == "tr2" and not camera.has_media2):
        return fault(400, "ActionNotSupported", f"{operation or 'that'} is not supported")
    text = maker(question)
    return text if isinstance(text, SoapAnswer) else _sound(condition, text)


def _sound(condition: Condition, text: str) -> SoapAnswer:
    whole = _envelope(text)
    if condition.has(Fault.FOREIGN_XADDR):
        whole = re.sub(r"(http|rtsp)://[0-9.]+:", rf"\1://{FOREIGN_HOST}:", whole)
    if condition.has(Fault.BROKEN_XML):
        whole = whole.replace(_NAMESPACES, "")
    return SoapAnswer(200, whole)


def _envelope(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"{_NAMESPACES}>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    )


@dataclass(frozen=True)
class _Question:
    camera: VirtualCamera
    condition: Condition
    body: str
    now: datetime
    media: str
    "Prefix of the media service that was asked."

    def value(self, name: str) -> str:
        """Return the text of the first element `name`."""
        found = re.search(rf"<(?:[\w.-]+:)?{name}\b[^>]*>([^<]*)<", self.body)
        return "" if found is None else found[1].strip()

    def vector(self, name: str) -> tuple[float | None, float | None, float | None]:
        """Return pan, tilt and zoom inside the element `name`; None for what is not named."""
        found = re.search(rf"<(?:[\w.-]+:)?{name}\b.*?</(?:[\w.-]+:)?{name}>", self.body, re.DOTALL)
        inner = found[0] if found is not None else ""
        pan_tilt = re.search(r"PanTilt\b[^>]*?\bx=\"([-0-9.eE]+)\"[^>]*?\by=\"([-0-9.eE]+)\"", inner)
        zoom = re.search(r"Zoom\b[^>]*?\bx=\"([-0-9.eE]+)\"", inner)
        return (
            float(pan_tilt[1]) if pan_tilt else None,
            float(pan_tilt[2]) if pan_tilt else None,
            float(zoom[1]) if zoom else None,
        )


def _date_and_time(of: _Question) -> str:
    now = of.now
    return (
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>"
        "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
        f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second>"
        f"</tt:Time><tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day>"
        "</tt:Date></tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
    )


def _services(of: _Question) -> str:
    known = [("ver10/device/wsdl", "device_service"), ("ver10/media/wsdl", "media")]
    known += [("ver20/media/wsdl", "media2")] if of.camera.has_media2 else []
    known += [("ver20/ptz/wsdl", "ptz")] if of.camera.has_ptz else []
    listed = "".join(
        f"<tds:Service><tds:Namespace>http://www.onvif.org/{namespace}</tds:Namespace>"
        f"<tds:XAddr>{of.camera.base}/onvif/{path}</tds:XAddr>"
        "<tds:Version><tt:Major>21</tt:Major><tt:Minor>6</tt:Minor></tds:Version></tds:Service>"
        for namespace, path in known
    )
    return f"<tds:GetServicesResponse>{listed}</tds:GetServicesResponse>"


def _capabilities(of: _Question) -> str:
    parts = [("Device", "device_service"), ("Media", "media")]
    parts += [("PTZ", "ptz")] if of.camera.has_ptz else []
    listed = "".join(
        f"<tt:{name}><tt:XAddr>{of.camera.base}/onvif/{path}</tt:XAddr>"
        + (
            "<tt:StreamingCapabilities><tt:RTPMulticast>false</tt:RTPMulticast></tt:StreamingCapabilities>"
            if name == "Media"
            else ""
        )
        + f"</tt:{name}>"
        for name, path in parts
    )
    return f"<tds:GetCapabilitiesResponse><tds:Capabilities>{listed}</tds:Capabilities></tds:GetCapabilitiesResponse>"


def _information(of: _Question) -> str:
    camera = of.camera
    return (
        "<tds:GetDeviceInformationResponse>"
        f"<tds:Manufacturer>{escape(camera.manufacturer)}</tds:Manufacturer><tds:Model>{escape(camera.model)}</tds:Model>"
        f"<tds:FirmwareVersion>{escape(of.condition.firmware or camera.firmware)}</tds:FirmwareVersion>"
        f"<tds:SerialNumber>{escape(camera.serial)}</tds:SerialNumber><tds:HardwareId>virtual</tds:HardwareId>"
        "</tds:GetDeviceInformationResponse>"
    )


def _interfaces(of: _Question) -> str:
    return (
        '<tds:GetNetworkInterfacesResponse><tds:NetworkInterfaces token="eth0"><tt:Enabled>true</tt:Enabled>'
        f"<tt:Info><tt:Name>eth0</tt:Name><tt:HwAddress>{of.camera.mac}</tt:HwAddress><tt:MTU>1500</tt:MTU></tt:Info>"
        "<tt:IPv4><tt:Enabled>true</tt:Enabled><tt:Config><tt:Manual>"
        f"<tt:Address>{of.camera.host}</tt:Address><tt:PrefixLength>8</tt:PrefixLength></tt:Manual>"
        "<tt:DHCP>false</tt:DHCP></tt:Config></tt:IPv4></tds:NetworkInterfaces></tds:GetNetworkInterfacesResponse>"
    )


def _source_and_encoder(of: _Question, prefix: str) -> tuple[str, str]:
    camera = of.camera
    source = (
        "<tt:Name>lens</tt:Name><tt:UseCount>1</tt:UseCount><tt:SourceToken>lens</tt:SourceToken>"
        f'<tt:Bounds x="0" y="0" width="{camera.width}" height="{camera.height}"/>'
    )
    size = f"<tt:Width>{camera.width}</tt:Width><tt:Height>{camera.height}</tt:Height>"
    resolution = f"<tt:Resolution>{size}</tt:Resolution>"
    rate = f"<tt:FrameRateLimit>{camera.frame_rate}</tt:FrameRateLimit>"
    if prefix == "tr2":
        encoder = (
            f"<tt:Name>main</tt:Name><tt:UseCount>1</tt:UseCount><tt:Encoding>{camera.codec}</tt:Encoding>{resolution}"
            f"<tt:RateControl>{rate}<tt:BitrateLimit>512</tt:BitrateLimit></tt:RateControl><tt:Quality>4</tt:Quality>"
        )
        return source, encoder
    encoder = (
        f"<tt:Name>main</tt:Name><tt:UseCount>1</tt:UseCount><tt:Encoding>H264</tt:Encoding>{resolution}"
        f"<tt:Quality>4</tt:Quality><tt:RateControl>{rate}<tt:EncodingInterval>1</tt:EncodingInterval>"
        "<tt:BitrateLimit>512</tt:BitrateLimit></tt:RateControl>"
        f"<tt:H264><tt:GovLength>{camera.gov_length}</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>"
    )
    return source, encoder


def _profiles(of: _Question) -> str:
    source, encoder = _source_and_encoder(of, of.media)
    ptz = (
        "<tt:Name>ptz</tt:Name><tt:UseCount>1</tt:UseCount><tt:NodeToken>node</tt:NodeToken>"
        if of.camera.has_ptz
        else ""
    )
    if of.media == "tr2":
        turning = f'<tr2:PTZ token="ptz">{ptz}</tr2:PTZ>' if ptz else ""
        return (
            '<tr2:GetProfilesResponse><tr2:Profiles token="main" fixed="true"><tr2:Name>main</tr2:Name>'
            f'<tr2:Configurations><tr2:VideoSource token="vs">{source}</tr2:VideoSource>'
            f'<tr2:VideoEncoder token="ve" GovLength="{of.camera.gov_length}">{encoder}</tr2:VideoEncoder>'
            f"{turning}</tr2:Configurations></tr2:Profiles></tr2:GetProfilesResponse>"
        )
    turning = f'<tt:PTZConfiguration token="ptz">{ptz}</tt:PTZConfiguration>' if ptz else ""
    return (
        '<trt:GetProfilesResponse><trt:Profiles token="main" fixed="true"><tt:Name>main</tt:Name>'
        f'<tt:VideoSourceConfiguration token="vs">{source}</tt:VideoSourceConfiguration>'
        f'<tt:VideoEncoderConfiguration token="ve">{encoder}</tt:VideoEncoderConfiguration>{turning}'
        "</trt:Profiles></trt:GetProfilesResponse>"
    )


def _uri(of: _Question, operation: str, uri: str) -> str:
    if of.media == "tr2":
        return f"<tr2:{operation}Response><tr2:Uri>{uri}</tr2:Uri></tr2:{operation}Response>"
    return (
        f"<trt:{operation}Response><trt:MediaUri><tt:Uri>{uri}</tt:Uri>"
        "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
        f"<tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:{operation}Response>"
    )


def _key_frame(of: _Question) -> str:
    of.condition.key_frames_asked += 1
    return f"<{of.media}:SetSynchronizationPointResponse/>"


def _bounded(value: float, least: float = -1.0) -> float:
    return max(least, min(1.0, value))


def _turn(of: _Question, name: str, *, is_relative: bool) -> None:
    condition = of.condition
    pan, tilt, zoom = of.vector(name)
    if pan is not None and tilt is not None:
        condition.pan = _bounded(pan + (condition.pan if is_relative else 0.0))
        condition.tilt = _bounded(tilt + (condition.tilt if is_relative else 0.0))
    if zoom is not None:
        condition.zoom = _bounded(zoom + (condition.zoom if is_relative else 0.0), least=0.0)


def _continuous(of: _Question) -> str:
    of.condition.is_moving = True
    return "<tptz:ContinuousMoveResponse/>"


def _absolute(of: _Question) -> str:
    _turn(of, "Position", is_relative=False)
    return "<tptz:AbsoluteMoveResponse/>"


def _relative(of: _Question) -> str:
    _turn(of, "Translation", is_relative=True)
    return "<tptz:RelativeMoveResponse/>"


def _stop(of: _Question) -> str:
    of.condition.is_moving = False
    return "<tptz:StopResponse/>"


def _home(of: _Question) -> str:
    of.condition.pan = of.condition.tilt = of.condition.zoom = 0.0
    return "<tptz:GotoHomePositionResponse/>"


def _status(of: _Question) -> str:
    condition = of.condition
    moving = "MOVING" if condition.is_moving else "IDLE"
    return (
        "<tptz:GetStatusResponse><tptz:PTZStatus><tt:Position>"
        f'<tt:PanTilt x="{condition.pan:.4f}" y="{condition.tilt:.4f}"/>'
        f'<tt:Zoom x="{condition.zoom:.4f}"/></tt:Position>'
        f"<tt:MoveStatus><tt:PanTilt>{moving}</tt:PanTilt><tt:Zoom>{moving}</tt:Zoom></tt:MoveStatus>"
        f"<tt:UtcTime>{of.now:%Y-%m-%dT%H:%M:%SZ}</tt:UtcTime></tptz:PTZStatus></tptz:GetStatusResponse>"
    )


def _presets(of: _Question) -> str:
    listed = "".join(
        f'<tptz:Preset token="{escape(token)}"><tt:Name>{escape(name)}</tt:Name></tptz:Preset>'
        for token, name in of.condition.presets.items()
    )
    return f"<tptz:GetPresetsResponse>{listed}</tptz:GetPresetsResponse>"


def _set_preset(of: _Question) -> str:
    token = f"preset-{len(of.condition.presets) + 1}"
    of.condition.presets[token] = of.value("PresetName")[:64]
    return f"<tptz:SetPresetResponse><tptz:PresetToken>{token}</tptz:PresetToken></tptz:SetPresetResponse>"


def _go_to_preset(of: _Question) -> str | SoapAnswer:
    if of.value("PresetToken") not in of.condition.presets:
        return fault(400, "NoToken", "there is no such preset")
    return "<tptz:GotoPresetResponse/>"


def _remove_preset(of: _Question) -> str | SoapAnswer:
    if of.condition.presets.pop(of.value("PresetToken"), None) is None:
        return fault(400, "NoToken", "there is no such preset")
    return "<tptz:RemovePresetResponse/>"


_ANSWERS: Final[Mapping[str, Callable[[_Question], str | SoapAnswer]]] = MappingProxyType(
    {
        "GetSystemDateAndTime": _date_and_time,
        "GetServices": _services,
        "GetCapabilities": _capabilities,
        "GetDeviceInformation": _information,
        "GetNetworkInterfaces": _interfaces,
        "GetProfiles": _profiles,
        "GetStreamUri": lambda of: _uri(of, "GetStreamUri", of.camera.stream_uri),
        "GetSnapshotUri": lambda of: _uri(of, "GetSnapshotUri", f"{of.camera.base}/snapshot.jpg"),
        "SetSynchronizationPoint": _key_frame,
        "ContinuousMove": _continuous,
        "AbsoluteMove": _absolute,
        "RelativeMove": _relative,
        "Stop": _stop,
        "GotoHomePosition": _home,
        "SetHomePosition": lambda _: "<tptz:SetHomePositionResponse/>",
        "GetStatus": _status,
        "GetPresets": _presets,
        "SetPreset": _set_preset,
        "GotoPreset": _go_to_preset,
        "RemovePreset": _remove_preset,
    }
)
