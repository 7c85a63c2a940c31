"""Short-lived logins for one look at one source."""

import pytest

from catalog.access import Role
from gateway.serving.grants import LIFETIME, MAX_OPEN_EACH, Grants, TooManyGrants, Viewer

WANG = Viewer("Wang", Role.OPERATOR, "mst_abc", "incident 4711")
LI = Viewer("Li", Role.OPERATOR)


def test_a_grant_is_found_by_its_name_and_used_once() -> None:
    grants = Grants()
    grant = grants.issue(17, WANG, now=0.0)
    assert grants.find(grant.username, 1.0) is grant
    assert grants.redeem(grant, 1.0)
    assert grants.find(grant.username, 1.0) is None
    assert not grants.redeem(grant, 1.0)


def test_a_grant_ends_with_its_time() -> None:
    grants = Grants()
    grant = grants.issue(17, WANG, now=0.0)
    assert grants.find(grant.username, LIFETIME - 0.1) is grant
    assert grants.find(grant.username, LIFETIME) is None
    assert not grants.redeem(grant, LIFETIME)


def test_no_two_grants_share_a_name_or_a_password_and_neither_shows() -> None:
    grants = Grants()
    issued = [grants.issue(17, WANG, now=0.0) for _ in range(50)]
    assert len({grant.username for grant in issued}) == 50
    assert len({grant.password.reveal() for grant in issued}) == 50
    assert issued[0].password.reveal() not in repr(issued[0])


def test_one_person_cannot_use_up_the_room_of_the_others() -> None:
    grants = Grants()
    for _ in range(MAX_OPEN_EACH):
        grants.issue(17, WANG, now=0.0)
    with pytest.raises(TooManyGrants):
        grants.issue(17, WANG, now=0.0)
    assert grants.issue(17, LI, now=0.0).viewer is LI


def test_expired_grants_take_no_room() -> None:
    grants = Grants()
    for _ in range(MAX_OPEN_EACH):
        grants.issue(17, WANG, now=0.0)
    assert grants.issue(17, WANG, now=LIFETIME).source_id == 17
    assert len(grants) == 1
