"""A silent server costs one caller its patience, not all of them."""

import pytest

from catalog.database_silence import PAUSE, SHARE, Silence
from catalog.errors import ConstraintViolated, DatabaseAway


def test_while_the_server_answers_everybody_has_a_turn_with_full_patience() -> None:
    silence = Silence()
    with silence.turn(0.0, "db", 5.0) as first, silence.turn(0.0, "db", 5.0) as second:
        assert (first, second) == (5.0, 5.0)


def test_a_silent_server_is_asked_by_one_caller_at_a_time_after_a_pause() -> None:
    silence = Silence()
    silence.begin(10.0)
    with pytest.raises(DatabaseAway), silence.turn(10.0 + PAUSE / 2, "db", 5.0):
        pass
    with silence.turn(10.0 + PAUSE, "db", 5.0) as patience:
        assert patience == 5.0 * SHARE
        with pytest.raises(DatabaseAway, match="db"), silence.turn(10.0 + PAUSE, "db", 5.0):
            pass
    assert not silence.is_silent


def test_an_unanswered_question_keeps_it_silent_and_a_refused_one_does_not() -> None:
    silence = Silence()
    silence.begin(0.0)
    with pytest.raises(DatabaseAway), silence.turn(2.0, "db", 5.0):
        raise DatabaseAway("no answer")
    assert silence.is_silent
    refused = ConstraintViolated("no", constraint="c", table="t", column="", sqlstate="23505")
    with pytest.raises(ConstraintViolated), silence.turn(2.0, "db", 5.0):
        raise refused
    assert not silence.is_silent
