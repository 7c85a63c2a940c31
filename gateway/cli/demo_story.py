"""Who plays in `muster demo`: a made-up district, its cameras, what happens to them, and what to look at (pure)."""

import csv
import io
from dataclasses import dataclass
from typing import Final

from adapters.simulator.camera import Asks, Fault, VirtualCamera
from adapters.simulator.gb_device import VirtualChannel, VirtualGbDevice
from catalog.model.secret import Secret

DISTRICT: Final = "990103"
"""No province of GB/T 2260 begins with 99: nothing here can be real."""

OVERDUE: Final = "2026-06-30"
IN_TIME: Final = "2027-12-31"
INTERFACE: Final = "127.0.0.1"
OWN_ID: Final = f"{DISTRICT}00002000000001"
"""Muster's own code in GB/T 28181."""
RECORDER: Final = f"{DISTRICT}00001180000001"
STRANGER: Final = f"{DISTRICT}00001180000099"
"""A recorder that nobody told Muster of."""
USERNAME: Final = "admin"

_HEADINGS: Final = (
    *("unit", "system", "site", "class", "location_type", "civil_code", "gb_id", "host", "port", "rtsp_path"),
    *("mac", "serial", "credential_ref", "connect_due_date", "basis", "address_attested"),
)


@dataclass(frozen=True)
class Actor:
    """One source of the district, and what it plays."""

    number: int
    site: str
    role: str
    "`online`, `leaves`, `clock`, `frozen`, `password`, `absent`, `recorder` or `stranger`."
    tells: tuple[str, str]
    "What the onlooker is told, Chinese and English."
    due_on: str = OVERDUE
    asks: Asks = Asks.MESSAGE
    codec: str = "H264"

    @property
    def code(self) -> str:
        """Return its 20-digit code."""
        return f"{DISTRICT}0000132{self.number:07d}"

    @property
    def host(self) -> str:
        """Return its own address on loopback."""
        return f"127.0.30.{self.number}"

    @property
    def is_camera(self) -> bool:
        """Tell whether a virtual camera plays it that announces itself by ONVIF."""
        return self.role not in ("absent", "recorder")

    @property
    def is_channel(self) -> bool:
        """Tell whether it is a channel of the recorder that registers."""
        return self.role == "recorder"

    @property
    def is_on_roll(self) -> bool:
        """Tell whether it must connect."""
        return self.role != "stranger"


ACTORS: Final = (
    Actor(1, "望湖广场", "online", ("正常接入", "connects and stays")),
    Actor(
        2, "望湖图书馆", "online", ("HTTP 摘要认证，H.265", "HTTP Digest, H.265"), asks=Asks.MD5, codec="H265"
    ),
    Actor(3, "滨湖公园", "online", ("SHA-256 摘要认证", "HTTP Digest SHA-256"), asks=Asks.SHA256),
    Actor(4, "望湖车站", "leaves", ("中途断电，随后恢复", "is switched off, and comes back")),
    Actor(5, "望湖小学", "clock", ("时钟快两小时：显示异常", "its clock is two hours ahead: degraded")),
    Actor(6, "望湖医院", "frozen", ("应答正常但无视频：显示异常", "answers, but no video comes: degraded")),
    Actor(
        7,
        "望湖商场",
        "password",
        ("名册中的密码有误：从未接入", "the password on file is wrong: never connected"),
    ),
    Actor(8, "望湖体育馆", "absent", ("没有设备，已逾期", "no device, overdue")),
    Actor(9, "望湖博物馆", "absent", ("没有设备，已逾期", "no device, overdue")),
    Actor(10, "望湖码头", "absent", ("没有设备，尚未到期", "no device, not yet due"), due_on=IN_TIME),
    Actor(
        11,
        "望湖剧院",
        "recorder",
        ("录像机按 GB/T 28181 自行注册", "its recorder registers by itself (GB/T 28181)"),
    ),
    Actor(
        12,
        "望湖书店",
        "recorder",
        ("同一录像机的另一通道，H.265", "another channel of the same recorder, H.265"),
        codec="H265",
    ),
    Actor(99, "", "stranger", ("不在名册上：进入隔离区", "not on the roll: goes to quarantine")),
)

TIMELINE: Final[tuple[tuple[float, str, str], ...]] = (
    (10.0, "frozen", "freezes"),
    (11.0, "leaves", "leaves"),
    (20.0, "leaves", "returns"),
)
"""Seconds after the first camera announced itself, whose role, and what happens."""


def roll() -> bytes:
    """Return the roll as CSV: each camera by its host alone, attested; ONVIF tells the rest."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_HEADINGS)
    for actor in ACTORS:
        if actor.is_on_roll:
            writer.writerow(
                (
                    *(
                        f"{actor.site}管理处",
                        "视频系统",
                        actor.site,
                        "WX8_07",
                        "entrance",
                        DISTRICT,
                        actor.code,
                    ),
                    *(
                        # A channel of a recorder is known by its code alone.
                        "" if actor.is_channel else actor.host,
                        "",
                        "",
                        "",
                        "" if actor.is_channel else serial_of(actor),
                        "" if actor.is_channel else ref_of(actor),
                        actor.due_on,
                        "WX-21.2",
                        "" if actor.is_channel else "yes",
                    ),
                )
            )
    return file.getvalue().encode()


def serial_of(actor: Actor) -> str:
    """Return the serial number of an actor's device."""
    return f"DEMO{actor.number:04d}"


def ref_of(actor: Actor) -> str:
    """Return the name of an actor's credential."""
    return "demo-wrong" if actor.role == "password" else "demo"


def camera_of(actor: Actor, password: Secret) -> VirtualCamera:
    """Return the virtual camera that plays an actor."""
    return VirtualCamera(
        name=actor.role if actor.role != "online" else f"online-{actor.number}",
        host=actor.host,
        http_port=8000,
        rtsp_port=8554,
        username=USERNAME,
        password=password,
        asks=actor.asks,
        model=f"V-{actor.number}",
        serial=serial_of(actor),
        mac=f"02:00:00:00:30:{actor.number:02x}",
        has_media2=actor.number % 2 == 0,
        codec=actor.codec,
    )


def recorder_of(password: Secret, port: int) -> VirtualGbDevice:
    """Return the recorder that registers with Muster at `port` of loopback, with its channels."""
    channels = tuple(
        VirtualChannel(actor.code, actor.site, codec=actor.codec) for actor in ACTORS if actor.is_channel
    )
    return VirtualGbDevice(
        RECORDER, password, OWN_ID, ("127.0.0.1", port), channels, host="127.0.30.20", keepalive=1.0
    )


FAULT_OF: Final = {"freezes": Fault.FROZEN}
