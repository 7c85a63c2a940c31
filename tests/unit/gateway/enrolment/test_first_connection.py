"""The first connection, against an oracle that reads the whole history anew for each answer."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from adapters.base import SourceKey, Transport
from gateway.enrolment.first_connection import Proof
from gateway.relay.protocol import (
    FirstKeyFrame,
    MediaGapOpened,
    Playing,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    VerificationFinished,
)

WHEN = (SourceKey(1), 5.0, datetime(2026, 11, 21, tzinfo=UTC))

EVENTS: st.SearchStrategy[SourceEvent] = st.one_of(
    st.builds(lambda a: Playing(*WHEN, "H264", Transport.TCP, False, a), st.booleans()),
    st.builds(lambda d: FirstKeyFrame(*WHEN, "H264", d, 640, 360), st.booleans()),
    st.builds(
        lambda passed, received: VerificationFinished(*WHEN, passed, "", 10.0, received, 9),
        st.booleans(),
        st.sampled_from([0.0, 9.9, 10.0, 12.5]),
    ),
    st.builds(lambda s: SinkStateChanged(*WHEN, s), st.sampled_from(SinkState)),
    st.builds(lambda s: RelayStateChanged(*WHEN, s), st.sampled_from(RelayState)),
    st.builds(lambda: RelayEnded(*WHEN, "closed", retryable=True)),
    st.builds(lambda: MediaGapOpened(*WHEN, 4.0)),
)


def is_first_connection(
    history: list[SourceEvent], *, matched: bool, confirmed: bool, superior: bool
) -> bool:
    """The definition, sentence by sentence, over the events since the session began."""
    ends = [index for index, event in enumerate(history) if isinstance(event, RelayEnded)]
    session = history[ends[-1] + 1 :] if ends else history
    plays = [event for event in session if isinstance(event, Playing)]
    pictures = [event for event in session if isinstance(event, VerificationFinished)]
    pushes = [event for event in session if isinstance(event, SinkStateChanged)]
    identified = confirmed or (bool(plays) and plays[-1].authenticated)
    pictured = bool(pictures) and pictures[-1].passed and pictures[-1].received >= pictures[-1].needed
    accepted = not superior or (bool(pushes) and pushes[-1].state is SinkState.RECORDING)
    return matched and identified and pictured and accepted


@given(st.lists(EVENTS, max_size=12), st.booleans(), st.booleans(), st.booleans())
def test_the_proof_agrees_with_the_definition_after_every_event(
    events: list[SourceEvent], matched: bool, confirmed: bool, superior: bool
) -> None:
    proof = Proof(is_matched=matched, is_confirmed=confirmed, needs_superior=superior)
    for count, event in enumerate(events, start=1):
        proof = proof.after(event)
        assert proof.is_first_connection == is_first_connection(
            events[:count], matched=matched, confirmed=confirmed, superior=superior
        )


@given(st.lists(EVENTS.filter(lambda event: not isinstance(event, VerificationFinished)), max_size=12))
def test_nothing_but_a_verified_picture_makes_a_first_connection(events: list[SourceEvent]) -> None:
    proof = Proof(is_matched=True, is_confirmed=True, needs_superior=False)
    for event in events:
        proof = proof.after(event)
    assert not proof.is_first_connection
