"""What a device's word means for the status of its sources."""

from dataclasses import dataclass, field

from adapters.gb28181.channels import Channel, ChannelEvent
from catalog.gb_devices import GbWay
from catalog.model.connectivity import DegradeReason
from gateway.gb28181.standing import Standing

RECORDER, OTHER = "34020000001180000001", "34020000001180000002"
ONE, TWO = "34020000001310000001", "34020000001310000002"


@dataclass
class Told:
    """A status that notes what it is told."""

    facts: list[tuple[str, int]] = field(default_factory=list)

    def alive(self, source_id: int, *, at: float) -> None:
        self.facts.append(("alive", source_id))

    def seen(self, source_id: int, *, at: float) -> None:
        pass

    def left(self, source_id: int, *, at: float, cause: str) -> None:
        self.facts.append((cause, source_id))

    def missed(self, source_id: int, *, at: float, cause: str) -> None:
        self.facts.append((f"missed {cause}", source_id))

    def unseen(self, source_id: int, *, at: float) -> None:
        self.facts.append(("unseen", source_id))

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append((f"+{reason.value}", source_id))

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        self.facts.append((f"-{reason.value}", source_id))

    def take(self) -> list[tuple[str, int]]:
        facts, self.facts = self.facts, []
        return facts


class Case:
    def __init__(self) -> None:
        self.status = Told()
        self.others: set[int] = set()
        self.standing = Standing(self.status, self.others.__contains__)
        self.standing.take_ways(
            [GbWay(1, RECORDER, ONE, True), GbWay(2, RECORDER, TWO, None), GbWay(3, OTHER, OTHER, True)]
        )

    def catalog(self, *, one: bool | None = True, two: bool | None = True, is_whole: bool = True) -> bool:
        told = [Channel(ONE, is_on=one), Channel(TWO, is_on=two)]
        return self.standing.catalog(RECORDER, told, 10.0, is_whole=is_whole)

    def facts(self) -> set[tuple[str, int]]:
        return {fact for fact in self.status.take() if not fact[0].startswith("-")}


def test_channels_follow_their_device_and_no_other() -> None:
    case = Case()
    case.standing.alive(RECORDER, 1.0)
    assert case.facts() == {("alive", 1), ("alive", 2)}
    case.standing.missed(OTHER, 2.0, "timeout")
    assert case.facts() == {("missed timeout", 3)}
    case.standing.left(RECORDER, 3.0)
    assert case.facts() == {("device_left", 1), ("device_left", 2)}


def test_e11_a_source_that_can_be_asked_in_another_way_is_not_gone_with_its_device() -> None:
    case = Case()
    case.others.add(1)
    case.standing.left(RECORDER, 3.0)
    # Whether it is there the other way decides: one answer is missing, no more.
    assert case.status.take() == [("missed device_left", 1), ("device_left", 2)]
    case.catalog(one=False)
    case.catalog(one=False)
    assert case.facts() == {("missed channel_off", 1)}


def test_e12_the_channels_of_a_recorder_that_left_are_gone_each_because_of_it() -> None:
    case = Case()
    case.standing.left(RECORDER, 3.0)
    assert case.status.take() == [("device_left", 1), ("device_left", 2)]


def test_a_burst_of_messages_is_one_sign_of_life() -> None:
    case = Case()
    for at in (1.0, 1.2, 1.9):
        case.standing.alive(RECORDER, at)
    assert len(case.status.take()) == 2
    case.standing.alive(RECORDER, 2.1)
    assert case.facts() == {("alive", 1), ("alive", 2)}


def test_a_single_off_is_no_good_bye() -> None:
    case = Case()
    assert case.standing.told(RECORDER, ONE, ChannelEvent.OFF, 1.0)
    case.standing.alive(RECORDER, 2.0)
    assert case.facts() == {("alive", 1), ("alive", 2)}
    # The catalog that is asked because of it says otherwise: it was a false one.
    assert not case.catalog(one=True)
    case.standing.alive(RECORDER, 12.0)
    assert case.facts() == {("alive", 1), ("alive", 2)}


def test_an_off_that_the_catalog_confirms_is_one() -> None:
    case = Case()
    case.standing.told(RECORDER, ONE, ChannelEvent.OFF, 1.0)
    assert not case.catalog(one=False)
    assert case.facts() == {("channel_off", 1)}
    # Its device goes on, it does not; told again, nothing happens twice.
    case.standing.alive(RECORDER, 12.0)
    assert case.facts() == {("alive", 2)}
    assert not case.catalog(one=False)
    assert case.facts() == set()


def test_two_catalogs_are_needed_where_nothing_was_told_before() -> None:
    case = Case()
    assert case.catalog(two=False)
    assert case.facts() == set()
    assert not case.catalog(two=False)
    assert case.facts() == {("channel_off", 2)}


def test_a_channel_that_comes_back_is_there_at_once() -> None:
    case = Case()
    case.catalog(one=False)
    case.catalog(one=False)
    case.status.take()
    assert not case.standing.told(RECORDER, ONE, ChannelEvent.ON, 20.0)
    assert ("alive", 1) in case.facts()
    case.standing.alive(RECORDER, 30.0)
    assert case.facts() == {("alive", 1), ("alive", 2)}


def test_a_channel_that_a_whole_catalog_lacks_is_off_and_one_that_a_part_lacks_is_not() -> None:
    case = Case()
    for is_whole in (False, False, True):
        doubtful = case.standing.catalog(RECORDER, [Channel(TWO, is_on=True)], 10.0, is_whole=is_whole)
        assert doubtful is is_whole
    case.standing.catalog(RECORDER, [Channel(TWO, is_on=True)], 20.0, is_whole=True)
    assert case.facts() == {("channel_off", 1)}


def test_a_device_that_is_its_own_only_source_needs_no_channel() -> None:
    case = Case()
    assert not case.standing.catalog(OTHER, [], 10.0, is_whole=True)
    assert case.facts() == set()


def test_video_lost_and_defect_degrade_and_on_restores() -> None:
    case = Case()
    assert not case.standing.told(RECORDER, ONE, ChannelEvent.VLOST, 1.0)
    case.standing.told(RECORDER, TWO, ChannelEvent.DEFECT, 1.0)
    assert case.status.take() == [("+video_lost", 1), ("+device_fault", 2)]
    case.standing.told(RECORDER, ONE, ChannelEvent.ON, 2.0)
    assert ("-video_lost", 1) in case.status.take()


def test_what_a_keepalive_calls_faulty_is_health_and_not_absence() -> None:
    case = Case()
    case.standing.alive(RECORDER, 1.0)
    for at, faulty, changed in ((1.0, [ONE], ([ONE], [])), (61.0, [ONE], ([], [])), (121.0, [], ([], [ONE]))):
        anew, no_more = case.standing.faults(RECORDER, faulty, at)
        assert (sorted(anew), sorted(no_more)) == changed
    assert case.status.take() == [("alive", 1), ("alive", 2), ("+device_fault", 1), ("-device_fault", 1)]


def test_a_wrong_clock_degrades_all_channels() -> None:
    case = Case()
    case.standing.clock(RECORDER, is_wrong=True, at=1.0)
    case.standing.clock(RECORDER, is_wrong=False, at=2.0)
    assert case.status.take() == [
        ("+clock_skew", 1),
        ("+clock_skew", 2),
        ("-clock_skew", 1),
        ("-clock_skew", 2),
    ]


def test_news_of_what_is_not_on_the_roll_only_asks_for_the_catalog() -> None:
    case = Case()
    new = "34020000001310000009"
    assert case.standing.told(RECORDER, new, ChannelEvent.ADD, 1.0)
    assert case.standing.told(RECORDER, new, ChannelEvent.DEL, 1.0)
    assert not case.standing.told(RECORDER, new, ChannelEvent.OFF, 1.0)
    assert not case.standing.told(RECORDER, new, ChannelEvent.VLOST, 1.0)
    assert case.status.take() == []


def test_what_is_known_of_a_channel_outlives_a_look_at_the_catalog() -> None:
    case = Case()
    case.catalog(one=False)
    case.catalog(one=False)
    case.status.take()
    case.standing.take_ways([GbWay(1, RECORDER, ONE, True), GbWay(2, RECORDER, TWO, True)])
    assert case.standing.devices() == [RECORDER]
    case.standing.alive(RECORDER, 30.0)
    assert case.facts() == {("alive", 2)}
