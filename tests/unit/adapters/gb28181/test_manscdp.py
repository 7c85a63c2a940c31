import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RemoteProtocolError
from adapters.gb28181.channels import ChannelEvent, Collection, read_catalog, read_news
from adapters.gb28181.manscdp import parse, render

RECORDER = "34020000001180000001"
CAMERA = "34020000001310000001"


def catalog(items: str, total: object = 1, encoding: str = "GB2312", codec: str = "gb18030") -> bytes:
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\r\n<Response><CmdType>Catalog</CmdType><SN>17</SN>'
        f"<DeviceID>{RECORDER}</DeviceID><SumNum>{total}</SumNum><DeviceList Num='1'>{items}</DeviceList></Response>"
    ).encode(codec)


def item(name: str = "East gate", **fields: str) -> str:
    more = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f"<Item><DeviceID>{CAMERA}</DeviceID><Name>{name}</Name>{more}</Item>"


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [
        ("GB2312", "gb18030"),
        ("GB18030", "gb18030"),
        ("UTF-8", "utf-8"),
        ("GB2312", "utf-8"),
        ("UTF-8", "gbk"),
    ],
)
def test_names_are_read_whatever_encoding_is_declared(encoding: str, codec: str) -> None:
    message = parse(catalog(item("东门停车场"), encoding=encoding, codec=codec))
    assert read_catalog(message)[1][0].name == "东门停车场"


def test_an_undeclared_name_a_byte_order_mark_and_padding_are_read() -> None:
    body = b"\xef\xbb\xbf" + catalog(item("西门"), codec="utf-8").partition(b"?>")[2] + b"\0\0\0"
    assert read_catalog(parse(body))[1][0].name == "西门"


@pytest.mark.parametrize(
    ("name", "read"), [("A&B", "A&B"), ("1 < 2", "1 < 2"), ("R&amp;D & more", "R&D & more")]
)
def test_characters_that_should_have_been_escaped_are_what_they_are(name: str, read: str) -> None:
    assert read_catalog(parse(catalog(item(name))))[1][0].name == read


def test_element_names_are_read_in_any_case() -> None:
    body = catalog(item(Status="on")).replace(b"CmdType", b"cmdType").replace(b"DeviceList", b"deviceList")
    assert read_catalog(parse(body))[1][0].is_on is True


@pytest.mark.parametrize(
    ("word", "is_on"),
    [
        ("ON", True),
        ("OK", True),
        ("ONLINE", True),
        (" OFF ", False),
        ("OFFLINE", False),
        ("0", False),
        ("?", None),
    ],
)
def test_the_words_for_on_and_off_of_the_field(word: str, is_on: bool | None) -> None:
    assert read_catalog(parse(catalog(item(Status=word))))[1][0].is_on is is_on


def test_what_a_channel_tells_is_kept_but_no_password() -> None:
    fields = {"Manufacturer": "ExampleCorp", "Password": "canary-77", "ParentID": f"{CAMERA}/{RECORDER}"}
    told = item(**fields).replace("</Item>", "<Info><RecordSaveDays>90</RecordSaveDays></Info></Item>")
    (channel,) = read_catalog(parse(catalog(told)))[1]
    assert (channel.manufacturer, channel.parent_id) == ("ExampleCorp", RECORDER)
    assert channel.detail["RecordSaveDays"] == "90"
    assert "canary-77" not in repr(channel)


@pytest.mark.parametrize("total", [" 3 ", "", "many"])
def test_the_number_of_channels_is_read_or_counted(total: str) -> None:
    assert read_catalog(parse(catalog(item(), total)))[0] == (3 if total.strip().isdecimal() else 1)


def test_an_entry_without_a_code_is_passed_over() -> None:
    items = item() + "<Item><DeviceID>none</DeviceID></Item><Item/>"
    assert [each.channel_id for each in read_catalog(parse(catalog(items)))[1]] == [CAMERA]


def test_events_are_read_and_unknown_ones_left_out() -> None:
    items = item(Event="VLOST") + item(Event="off") + item(Event="WHAT") + item()
    body = catalog(items).replace(b"Response>", b"Notify>")
    assert [each.event for each in read_news(parse(body))] == [ChannelEvent.VLOST, ChannelEvent.OFF]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<Notify/>",
        b"<Other><CmdType>Catalog</CmdType></Other>",
        b'<!DOCTYPE a [<!ENTITY e "x">]><Notify><CmdType>&e;</CmdType></Notify>',
        b"<a>" * 200 + b"</a>" * 200,
    ],
)
def test_what_is_no_manscdp_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(body)


def test_what_we_write_is_read_back() -> None:
    body = render("Query", "Catalog", 17, RECORDER, (("Note", "东 & <西>"),))
    assert body.startswith(b'<?xml version="1.0" encoding="GB18030"?>')
    message = parse(body)
    assert (message.root, message.command, message.serial, message.device_id) == (
        "Query",
        "Catalog",
        17,
        RECORDER,
    )
    assert message.text("Note") == "东 & <西>"


@given(st.binary(max_size=400))
def test_nothing_that_comes_breaks_the_reader(body: bytes) -> None:
    for data in (body, b"<Notify><CmdType>" + body + b"</CmdType></Notify>"):
        try:
            parse(data)
        except RemoteProtocolError:
            continue


def channels(*codes: str) -> list[object]:
    return list(read_catalog(parse(catalog("".join(item().replace(CAMERA, code) for code in codes))))[1])


def test_parts_of_a_catalog_are_put_together_in_any_order_and_twice() -> None:
    collection = Collection(0.0)
    one, two, three = (f"3402000000131000000{n}" for n in (1, 2, 3))
    for part in ((three,), (one, two), (three,)):
        assert not collection.is_complete
        collection.take(
            3, read_catalog(parse(catalog("".join(item().replace(CAMERA, c) for c in part))))[1], 1.0
        )
        if part == (one, two):
            break
    assert collection.is_complete
    assert [each.channel_id for each in collection.channels] == [one, two, three]


def test_a_catalog_that_stays_short_ends_after_a_silence_and_counts_as_incomplete() -> None:
    collection = Collection(0.0, patience=150.0, silence=10.0)
    assert not collection.is_over(149.0)
    assert collection.is_over(150.0)
    collection.take(5, read_catalog(parse(catalog(item())))[1], 140.0)
    assert not collection.is_over(149.9)
    assert collection.is_over(150.0)
    assert not collection.is_complete


def test_an_empty_catalog_is_whole() -> None:
    collection = Collection(0.0)
    collection.take(0, [], 1.0)
    assert collection.is_complete


@pytest.mark.parametrize("name", ["Password", "DevicePassWord", "AdminPwd", "ClientSecret"])
def test_no_password_is_among_the_fields_of_any_message(name: str) -> None:
    body = (
        f"<Response><CmdType>ConfigDownload</CmdType><SN>1</SN><DeviceID>{RECORDER}</DeviceID><BasicParam>"
        f"<Name>East</Name><{name}>Canary-Pass-81</{name}></BasicParam></Response>"
    ).encode()
    told = parse(body).child("BasicParam")
    assert told is not None
    assert told.fields() == {"Name": "East"}
