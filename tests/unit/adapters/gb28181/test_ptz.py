import pytest

from adapters.gb28181 import ptz


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("A50F0100000000B5", ptz.STOP),
        ("A50F0101200000D6", ptz.command(0x01, 0x20, 0)),
        ("A50F010A1F1F00FD", ptz.command(0x0A, 0x1F, 0x1F)),
        ("A50F0110000010D5", ptz.command(0x10, 0, 0, 1)),
        ("A50F012000008055", ptz.command(0x20, 0, 0, 8)),
        ("A50F018100010037", ptz.preset(ptz.SET, 1)),
        ("A50F018200010038", ptz.preset(ptz.CALL, 1)),
        ("A50F018300010039", ptz.preset(ptz.DELETE, 1)),
    ],
)
def test_the_vectors_of_the_fact_sheet(code: str, made: str) -> None:
    assert made == code


@pytest.mark.parametrize(
    ("vector", "octets"),
    [
        ((1.0, 0.0, 0.0), (0x01, 255, 0, 0)),
        ((-0.5, 0.5, 0.0), (0x0A, 128, 128, 0)),
        ((0.0, -1.0, 1.0), (0x14, 0, 255, 0xF0)),
        ((0.0, 0.0, -0.001), (0x20, 0, 0, 0x10)),
        ((0.0, 0.0, 0.0), (0, 0, 0, 0)),
    ],
)
def test_a_movement_goes_where_it_shall_and_never_at_no_speed(
    vector: tuple[float, float, float], octets: tuple[int, ...]
) -> None:
    assert tuple(bytes.fromhex(ptz.move(*vector))[3:7]) == octets


@pytest.mark.parametrize("number", [0, 256, -1])
def test_a_preset_that_does_not_exist_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        ptz.preset(ptz.CALL, number)
