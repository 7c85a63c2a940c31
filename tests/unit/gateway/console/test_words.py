import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest

from adapters.errors import AdapterError
from catalog.model.compliance import WORDS as FACT_WORDS
from catalog.model.compliance import Fact, RuleName, Verdict
from catalog.model.connectivity import DegradeReason, EvidenceKind, State
from catalog.model.display import Displayed, Lifecycle, NeverConnected, SuspendedReason, UnknownReason
from catalog.model.plan import RelayMode
from catalog.model.secret import Secret
from catalog.model.sighting import SightingState
from gateway.console.messages import MESSAGES, WORDS, text, word
from gateway.console.rendering import SHAPES, bitrate, instant, lasting, percent, static
from gateway.console.sessions import MOST_SESSIONS, Notice, Sessions
from gateway.enrolment.admission import Hindrance
from gateway.relay.protocol import RelayState, SinkState

AT = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)


def test_every_key_of_the_templates_has_words_in_both_languages() -> None:
    folder = files("gateway.console").joinpath("templates")
    used = {
        key
        for template in folder.iterdir()
        for key in re.findall(r"\bt\(\s*[\"']([^\"']+)[\"']\s*\)", template.read_text(encoding="utf-8"))
    }

    assert used <= MESSAGES.keys()
    assert all(zh and en for zh, en in (*MESSAGES.values(), *WORDS.values()))


@pytest.mark.parametrize(
    "key",
    [
        *(state.value for state in (*Displayed, *State)),
        *(f"substate.{state.value}" for state in NeverConnected),
        *(f"sighting.{state.value}" for state in SightingState),
        *(f"relay.{state.value}" for state in RelayState),
        *(f"sink.{state.value}" for state in SinkState),
    ],
)
def test_every_state_can_be_shown(key: str) -> None:
    assert text(key, "zh")


def kinds_of(error: type[AdapterError]) -> set[type[AdapterError]]:
    return {error}.union(*(kinds_of(kind) for kind in error.__subclasses__()))


@pytest.mark.parametrize(
    "code",
    [
        *(reason.value for reason in (*UnknownReason, *SuspendedReason, *DegradeReason)),
        *(kind.value for kind in EvidenceKind),
        *(each.value for each in (*Lifecycle, *RelayMode)),
        *(hindrance.value for hindrance in Hindrance),
        *(f"rule.{rule}" for rule in RuleName),
        *(f"verdict.{verdict}" for verdict in Verdict),
        *(f"fact.{fact}" for fact in Fact),
        *(f"value.{value}" for values in FACT_WORDS.values() for value in values),
        *(error.cause for error in kinds_of(AdapterError)),
    ],
)
def test_every_reason_has_a_reading(code: str) -> None:
    assert word(code, "zh") != code


def test_a_word_nobody_knows_is_shown_as_it_is() -> None:
    assert word("new_word", "en") == "new_word"
    assert word(None, "en") == ""


def test_every_displayed_state_has_a_shape_of_its_own() -> None:
    assert SHAPES.keys() == {state.value for state in Displayed}
    assert len(set(SHAPES.values())) == len(SHAPES)


def test_readings_for_people() -> None:
    assert instant(AT) == "2026-11-21 00:30:00"
    assert (percent(None), percent(0.125)) == ("–", "12.5 %")
    assert (bitrate(3_900_000), bitrate(64_000)) == ("3.90 Mbit/s", "64 kbit/s")
    assert lasting(AT - timedelta(days=2, hours=3, minutes=5), AT, "en") == "2 d 3 h"
    assert lasting(AT, AT, "zh") == "0 秒"
    assert lasting(AT + timedelta(hours=1), AT, "en") == "0 s"


def test_only_named_files_are_served() -> None:
    assert static("live.js")
    with pytest.raises(KeyError):
        static("../pages.py")


def test_sessions_end_and_are_bounded() -> None:
    sessions = Sessions(lifetime=100)
    first = sessions.open(Secret("token"), now=0)
    opened = sessions.get(first, now=99)

    assert opened is not None
    assert sessions.get(first, now=100) is None
    kept = [sessions.open(Secret("token"), now=0) for _ in range(MOST_SESSIONS + 1)]
    assert sessions.get(kept[0], now=1) is None
    assert sessions.get(kept[-1], now=1) is not None


def test_a_session_shows_a_notice_once_and_knows_its_own_forms() -> None:
    sessions = Sessions(lifetime=100)
    session = sessions.get(sessions.open(Secret("token"), now=0), now=0)
    assert session is not None
    session.tell(Notice(is_good=True, text="done"))

    assert [notice.text for notice in session.take_notices()] == ["done"]
    assert session.take_notices() == []
    assert session.is_forged("")
    assert session.is_forged("é")
    assert not session.is_forged(session.csrf)
