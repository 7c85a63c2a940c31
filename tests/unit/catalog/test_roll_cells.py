"""Single cells of the roll: spellings that are taken, mistakes that are refused, and no secret repeated."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.roll_cells import (
    CellProblem,
    read_attested,
    read_credential_ref,
    read_date,
    read_gb_id,
    read_host,
    read_mac,
    read_name,
    read_port,
    read_rtsp_path,
    read_serial,
)
from catalog.roll_person import looks_like_a_person

READERS: tuple[Callable[[str], object], ...] = (
    read_attested,
    read_credential_ref,
    read_date,
    read_gb_id,
    read_host,
    read_mac,
    read_name,
    read_port,
    read_rtsp_path,
    read_serial,
)
SECRET = "Tr0ub4dor&3"


@given(st.text(max_size=600))
def test_any_text_is_taken_or_refused_with_a_cell_problem(text: str) -> None:
    outcomes: list[object] = []
    for read in READERS:
        try:
            outcomes.append(read(text))
        except CellProblem as problem:
            outcomes.append(problem)
    assert len(outcomes) == len(READERS)


@pytest.mark.parametrize(
    "read", [read_gb_id, read_host, read_port, read_rtsp_path, read_mac, read_serial, read_date]
)
def test_an_empty_cell_says_nothing(read: Callable[[str], object]) -> None:
    assert read("") is None


@pytest.mark.parametrize(
    "text",
    ["3.4E+19", "3.402E+19", "3.40200000132E+19", "3e19", "9.90102000013200000000E+19"],
)
def test_a_code_that_a_spreadsheet_turned_into_a_number_is_a_clear_error(text: str) -> None:
    with pytest.raises(CellProblem, match="last digits are lost") as caught:
        read_gb_id(text)
    assert caught.value.code == "digits_lost"


def test_the_code_of_a_platform_is_no_source() -> None:
    with pytest.raises(CellProblem, match="type 200"):
        read_gb_id("34020000002000000001")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("Cam-1.Example.test", "cam-1.example.test"),
        ("nvr", "nvr"),
    ],
)
def test_a_host_is_an_address_or_a_name(text: str, host: str) -> None:
    assert read_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.256",
        "192.0.2",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "rtsp://192.0.2.1",
        "192.0.2.1:554",
        f"admin:{SECRET}@192.0.2.1",
        "a b",
        "-nvr",
        "摄像机",
        "::",
        "x" * 64,
    ],
)
def test_what_is_no_host_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(CellProblem) as caught:
        read_host(text)
    assert SECRET not in str(caught.value.message)


@pytest.mark.parametrize(
    "path",
    ["/", "/Streaming/Channels/101", "/cam/realmonitor?channel=1&subtype=0", "/h264/ch1/main/av_stream"],
)
def test_a_path_is_taken_with_its_query(path: str) -> None:
    assert read_rtsp_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        f"rtsp://admin:{SECRET}@192.0.2.1/stream",
        "rtsp://192.0.2.1/stream",
        f"//admin:{SECRET}@192.0.2.1/stream",
        f"/user=admin_password={SECRET}_channel=1_stream=0.sdp",
        f"/live?username=admin&password={SECRET}",
        f"/live?token={SECRET}",
        f"/admin:{SECRET}@stream",
    ],
)
def test_credentials_in_a_path_are_an_error_that_does_not_repeat_them(path: str) -> None:
    with pytest.raises(CellProblem) as caught:
        read_rtsp_path(path)
    assert caught.value.code == "path_with_credentials"
    assert SECRET not in f"{caught.value} {caught.value.message}"


@pytest.mark.parametrize("path", ["stream", "/a b", "/流", "/" + "a" * 512, "/a\r\nX: y"])
def test_a_path_that_no_request_line_can_carry_is_refused(path: str) -> None:
    with pytest.raises(CellProblem):
        read_rtsp_path(path)


def test_a_password_typed_as_credential_name_is_refused_without_repeating_it() -> None:
    with pytest.raises(CellProblem) as caught:
        read_credential_ref(SECRET)
    assert SECRET not in f"{caught.value} {caught.value.message}"


@pytest.mark.parametrize(
    "text", ["02:00:5E:00:53:01", "02-00-5e-00-53-01", "02005e005301", "0200.5e00.5301", "02 00 5e 00 53 01"]
)
def test_a_mac_is_taken_in_any_spelling(text: str) -> None:
    assert read_mac(text) == "02:00:5e:00:53:01"


@pytest.mark.parametrize(
    "text", ["02:00:5e:00:53", "01:00:5e:00:00:01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "x"]
)
def test_what_is_no_devices_mac_is_refused(text: str) -> None:
    with pytest.raises(CellProblem):
        read_mac(text)


@pytest.mark.parametrize("text", ["2026-06-30", "2026/6/30", "2026.06.30", "2026年6月30日", "20260630"])
def test_a_date_is_taken_in_any_usual_spelling(text: str) -> None:
    assert read_date(text) == date(2026, 6, 30)


@pytest.mark.parametrize("text", ["2026-02-30", "30.06.2026", "soon", "46203", "1900-01-01", "2026-6"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(CellProblem):
        read_date(text)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "8O", "５５４", "554.0"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(CellProblem):
        read_port(text)


@pytest.mark.parametrize(
    ("text", "answer"), [("是", True), ("YES", True), ("否", False), ("no", False), ("", False)]
)
def test_yes_and_no_are_read_in_both_languages(text: str, answer: bool) -> None:
    assert read_attested(text) is answer


@pytest.mark.parametrize("name", ["张三", "王小明", "李·四", "万达"])
def test_a_name_that_may_be_a_persons_is_asked_about(name: str) -> None:
    assert looks_like_a_person(name)


@pytest.mark.parametrize("name", ["示范区图书馆", "张家村", "金茂大厦", "公安局", "高新医院", "Library"])
def test_an_organisations_name_is_taken(name: str) -> None:
    assert not looks_like_a_person(name)
