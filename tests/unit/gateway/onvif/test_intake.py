"""Which datagrams are worth reading, and that a flood costs its sender alone."""

from gateway.onvif.intake import FORGET_VERDICTS, MAX_EACH, MAX_SENDERS, MAX_WAITING, WINDOW, Fate, Intake


def everybody(_: str) -> bool:
    return True


def sender(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def test_two_thousand_cameras_after_a_power_cut_are_all_taken() -> None:
    intake = Intake(everybody)
    for number in range(2_000):
        assert intake.take(b"hello", sender(number), now=number / 2_000) is Fate.TAKEN
    assert [heard.sender for heard in intake.drain(10_000)] == [sender(number) for number in range(2_000)]
    assert len(intake) == 0


def test_a_flood_of_one_does_not_drown_its_neighbour() -> None:
    intake = Intake(everybody)
    for number in range(10_000):
        intake.take(b"flood", "10.0.0.66", now=number / 10_000)
    assert intake.take(b"hello", "10.0.0.5", now=0.99) is Fate.TAKEN
    assert intake.fates[Fate.TOO_MANY] == 10_000 - MAX_EACH
    assert len(intake) == MAX_EACH + 1


def test_the_share_of_a_sender_begins_anew_with_each_window() -> None:
    intake = Intake(everybody)
    for _ in range(MAX_EACH):
        assert intake.take(b"hello", "10.0.0.5", now=0.0) is Fate.TAKEN
    assert intake.take(b"hello", "10.0.0.5", now=0.0) is Fate.TOO_MANY
    assert intake.take(b"hello", "10.0.0.5", now=WINDOW) is Fate.TAKEN


def test_spoofed_senders_fill_the_room_and_no_more() -> None:
    intake = Intake(everybody)
    for number in range(MAX_SENDERS + 5_000):
        intake.take(b"x" * 100, sender(number), now=0.5)
    assert len(intake) == MAX_WAITING
    assert intake.fates[Fate.FULL] == MAX_SENDERS + 5_000 - MAX_WAITING
    intake.drain(MAX_WAITING)
    assert intake.take(b"hello", "10.9.9.9", now=2.0) is Fate.TAKEN


def test_large_datagrams_are_bounded_in_bytes() -> None:
    intake = Intake(everybody)
    for number in range(1_000):
        intake.take(b"x" * 65_000, sender(number), now=0.5)
    assert sum(len(heard.data) for heard in intake.drain(10_000)) <= 16 * 1024 * 1024
    assert intake.take(b"x" * 65_000, "10.9.9.9", now=0.6) is Fate.TAKEN


def test_whoever_is_not_authorised_is_not_read() -> None:
    asked: list[str] = []

    def is_authorised(host: str) -> bool:
        asked.append(host)
        return host.startswith("10.1.")

    intake = Intake(is_authorised)
    assert intake.take(b"hello", "10.1.0.5", now=0.0) is Fate.TAKEN
    for _ in range(100):
        assert intake.take(b"hello", "192.168.0.9", now=0.0) is Fate.UNAUTHORISED
    assert asked == ["10.1.0.5", "192.168.0.9"]
    assert len(intake) == 1


def test_an_authorisation_counts_at_once_and_ends_soon() -> None:
    allowed = {"10.1.0.5"}
    intake = Intake(allowed.__contains__)
    intake.take(b"hello", "10.1.0.6", now=0.0)
    allowed.add("10.1.0.6")
    intake.networks_changed()
    assert intake.take(b"hello", "10.1.0.6", now=0.1) is Fate.TAKEN
    allowed.clear()
    assert intake.take(b"hello", "10.1.0.6", now=0.1 + FORGET_VERDICTS) is Fate.UNAUTHORISED
