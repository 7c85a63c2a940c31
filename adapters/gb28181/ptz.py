"""PTZCmd of GB/T 28181 (2022, A.3): eight octets that turn a camera, as sixteen hexadecimal digits. Sans-IO."""

from typing import Final

ADDRESS: Final = 0x01
"""Low octet of the address that nobody looks at; written as everybody writes it."""
MOST_PRESETS: Final = 255
SET, CALL, DELETE = 0x81, 0x82, 0x83

_RIGHT, _LEFT, _DOWN, _UP, _ZOOM_IN, _ZOOM_OUT = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20


def command(code: int, first: int = 0, second: int = 0, third: int = 0) -> str:
    """Return a command with its checks.

    Args:
        code: command octet.
        first: data octet 1.
        second: data octet 2.
        third: high four bits of octet 7.

    Raises:
        ValueError: a number does not fit.
    """
    if not (0 <= first <= 255 and 0 <= second <= 255 and 0 <= third <= 15):
        raise ValueError("a number of a PTZ command does not fit")
    head = 0xA5
    # Version 0 above, and the check of the first three nibbles below.
    combined = ((head >> 4) + (head & 0x0F)) % 16
    octets = [head, combined, ADDRESS, code, first, second, third << 4]
    return bytes((*octets, sum(octets) % 256)).hex().upper()


STOP: Final = command(0)


def move(pan: float, tilt: float, zoom: float) -> str:
    """Return the command for a continuous movement; it goes on until `STOP`.

    Args:
        pan: -1 (left) to 1 (right), as the picture moves on the screen.
        tilt: -1 (down) to 1 (up).
        zoom: -1 (out) to 1 (in).
    """
    code = 0
    if pan:
        code |= _RIGHT if pan > 0 else _LEFT
    if tilt:
        code |= _UP if tilt > 0 else _DOWN
    if zoom:
        code |= _ZOOM_IN if zoom > 0 else _ZOOM_OUT
    return command(code, _speed(pan, 255), _speed(tilt, 255), _speed(zoom, 15))


def preset(code: int, number: int) -> str:
    """Return the command that sets, calls or deletes a preset, 1 to 255.

    Raises:
        ValueError: there is no such preset.
    """
    if not 1 <= number <= MOST_PRESETS:
        raise ValueError(f"a preset is a number from 1 to {MOST_PRESETS}")
    return command(code, 0, number)


def _speed(fraction: float, most: int) -> int:
    """Return a speed that is never nothing where there shall be a movement."""
    return 0 if not fraction else max(1, min(most, round(abs(fraction) * most)))
