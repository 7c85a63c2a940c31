"""Which dated facts an interrogation adds."""

from dataclasses import replace
from datetime import UTC, datetime

from adapters.onvif.report import DeviceReport, Identity, MediaProfile, NetworkInterface
from catalog.onvif_devices import DeviceEvent, DeviceEventKind, DueDevice
from gateway.onvif.drift import changes, mac_at, one_lens, report_as_json

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MAIN = MediaProfile(
    token="main",
    name="main",
    encoding="H264",
    width=1920,
    height=1080,
    frame_rate=25.0,
    bitrate=4096,
    gop=50,
    stream_uri="rtsp://10.0.0.5:554/main",
    snapshot_uri="",
    has_ptz=True,
    video_source="lens",
)
REPORT = DeviceReport(
    identity=Identity("Maker", "Model", "1.0", "SN-1", "HW-1"),
    services=(),
    interfaces=(
        NetworkInterface("wlan0", "00:11:22:aa:bb:01", ("10.9.9.9",)),
        NetworkInterface("eth0", "00:11:22:aa:bb:02", ("10.0.0.5",)),
    ),
    profiles=(MAIN,),
    clock_offset=1.0,
    rewritten_xaddrs=(),
    deviations=(),
)
DEVICE = DueDevice(
    endpoint_id=1,
    source_id=7,
    host="10.0.0.5",
    port=80,
    path="/onvif/device_service",
    tls_pin_sha256=None,
    confirmed_by="roll:li",
    credential=None,
    roll_mac=None,
    roll_serial=None,
    asked_at=None,
    failures=0,
    clock_offset=None,
    report=None,
)
KNOWN = replace(DEVICE, report=report_as_json(REPORT), clock_offset=1.0)


def news(device: DueDevice, report: DeviceReport) -> dict[DeviceEventKind, DeviceEvent]:
    found = changes(device, report, at=NOW, tolerance=60.0)
    assert all((event.source_id, event.at) == (7, NOW) for event in found)
    return {event.kind: event for event in found}


def test_the_first_interrogation_says_who_it_is() -> None:
    found = news(DEVICE, REPORT)
    assert found.keys() == {DeviceEventKind.INTERROGATED}
    assert found[DeviceEventKind.INTERROGATED].detail["serial_number"] == "SN-1"


def test_the_same_again_is_no_news() -> None:
    assert news(KNOWN, replace(REPORT, clock_offset=-20.0)) == {}


def test_other_firmware_and_another_device_are_told_apart() -> None:
    newer = replace(REPORT, identity=replace(REPORT.identity, firmware_version="1.1"))
    assert news(KNOWN, newer)[DeviceEventKind.FIRMWARE_CHANGED].detail == {"before": "1.0", "after": "1.1"}
    other = replace(REPORT, identity=replace(REPORT.identity, serial_number="SN-2"))
    found = news(KNOWN, other)
    assert found.keys() == {DeviceEventKind.IDENTITY_CHANGED}
    assert found[DeviceEventKind.IDENTITY_CHANGED].detail == {
        "serial_number": {"before": "SN-1", "after": "SN-2"}
    }


def test_a_main_stream_that_is_another_one() -> None:
    found = news(KNOWN, replace(REPORT, profiles=(replace(MAIN, encoding="H265"),)))
    assert found.keys() == {DeviceEventKind.STREAM_CHANGED}


def test_a_clock_that_goes_wrong_and_right_again() -> None:
    assert news(KNOWN, replace(REPORT, clock_offset=-61.0)).keys() == {DeviceEventKind.CLOCK_WRONG}
    wrong = replace(KNOWN, clock_offset=7200.0)
    assert news(wrong, replace(REPORT, clock_offset=7100.0)) == {}
    assert news(wrong, REPORT).keys() == {DeviceEventKind.CLOCK_RIGHT}
    assert news(wrong, replace(REPORT, clock_offset=None)) == {}


def test_the_mac_address_that_counts() -> None:
    assert mac_at(REPORT, "10.0.0.5", None) == "00:11:22:aa:bb:02"
    assert mac_at(REPORT, "10.0.0.5", "00:11:22:aa:bb:01") == "00:11:22:aa:bb:01"
    assert mac_at(REPORT, "10.0.0.6", None) == "00:11:22:aa:bb:01"
    assert mac_at(replace(REPORT, interfaces=()), "10.0.0.5", None) is None


def test_several_lenses_leave_the_choice_to_a_person() -> None:
    assert one_lens([MAIN, replace(MAIN, token="sub")])
    assert not one_lens([MAIN, replace(MAIN, token="two", video_source="other")])
