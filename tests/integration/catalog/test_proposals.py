"""Editions by two people, on a real catalog."""

import asyncio
from datetime import timedelta

import pytest

from catalog.database import Database
from catalog.jurisdictions import Jurisdiction, save_jurisdiction
from catalog.proposals import Actor, Proposal, approve, list_proposals, propose, reject, review
from catalog.publication import Draft, Imprint, PublicationRefused, compile_edition, list_editions
from tests.seed import HERE, NOW, seed_roll

pytestmark = pytest.mark.postgres

PLACE = Jurisdiction(HERE, "示例区", "wuxi-2019", "cn-2025")
LI, WANG = Actor("Li", "muster_aaaa"), Actor("Wang", "muster_bbbb")
IMPRINT = Imprint("示例区公安局", "示例窗口", "Wang")


async def drafted(database: Database) -> Draft:
    await seed_roll(database, count=2)
    await save_jurisdiction(database, PLACE)
    return await compile_edition(database, PLACE, at=NOW)


async def proposed(database: Database) -> int:
    return await propose(database, await drafted(database), LI, at=NOW)


async def newest(database: Database) -> Proposal:
    return (await list_proposals(database, PLACE))[0]


async def refused(database: Database, number: int, actor: Actor = WANG) -> str:
    with pytest.raises(PublicationRefused) as told:
        await approve(database, PLACE, number, actor, IMPRINT, at=NOW)
    return told.value.cause


async def test_what_one_person_proposes_another_one_publishes(database: Database) -> None:
    number = await proposed(database)
    before = await list_editions(database, PLACE)
    later = NOW + timedelta(hours=3)
    edition = await approve(database, PLACE, number, WANG, IMPRINT, at=later)
    found = await newest(database)

    assert before == ()
    assert [each.number for each in await list_editions(database, PLACE)] == [edition.number]
    assert (found.decision, found.decided_by, found.edition) == ("approved", "Wang", edition.number)
    assert (found.proposed_by, found.decided_at) == ("Li", later)


@pytest.mark.parametrize(
    "actor",
    [LI, Actor("li "), Actor("Wang", "muster_aaaa")],
    ids=["the same", "the same name in other letters", "another name on the same token"],
)
async def test_nobody_approves_what_he_proposed(database: Database, actor: Actor) -> None:
    assert await refused(database, await proposed(database), actor) == "second_person_needed"
    assert (await newest(database)).decision is None


async def test_what_changed_since_is_not_published(database: Database) -> None:
    number = await proposed(database)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE duty SET due_on = due_on + 1")

    assert await refused(database, number) == "proposal_outdated"
    assert await list_editions(database, PLACE) == ()


async def test_a_proposal_is_decided_once(database: Database) -> None:
    number = await proposed(database)
    with pytest.raises(PublicationRefused, match="a reason"):
        await reject(database, PLACE, number, WANG, " ", at=NOW)
    await reject(database, PLACE, number, LI, "taken back", at=NOW)
    found = await newest(database)

    assert (found.decision, found.reason, found.edition) == ("rejected", "taken back", None)
    assert await refused(database, number) == "proposal_decided"
    assert await refused(database, number + 1) == "proposal_unknown"
    assert await refused(database, 2**63) == "proposal_unknown"


async def test_of_two_approvals_at_once_one_publishes(database: Database) -> None:
    number = await proposed(database)
    outcomes: list[str] = []

    async def one(actor: Actor) -> None:
        try:
            await approve(database, PLACE, number, actor, IMPRINT, at=NOW)
            outcomes.append("published")
        except PublicationRefused as error:
            outcomes.append(error.cause)

    async with asyncio.TaskGroup() as tasks:
        for actor in (WANG, Actor("Zhao", "muster_cccc")):
            tasks.create_task(one(actor))

    assert sorted(outcomes) == ["proposal_decided", "published"]
    assert len(await list_editions(database, PLACE)) == 1


async def test_an_edition_never_takes_effect_before_it_is_approved(database: Database) -> None:
    number = await proposed(database)
    edition = await approve(database, PLACE, number, WANG, IMPRINT, at=NOW + timedelta(days=2))

    assert edition.effective_from == (NOW + timedelta(days=2)).date()


async def test_a_review_counts_what_needs_a_look(database: Database) -> None:
    draft = await drafted(database)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE unit SET name = '赵某某', kind = 'natural_person'")
        await connection.execute("UPDATE site SET class = 'WX8_02' WHERE name = '示例公园 1'")
        await connection.execute(
            "UPDATE duty SET due_on = '2027-01-01' WHERE site_id = (SELECT max(site_id) FROM site)"
        )
    found = review(await compile_edition(database, PLACE, at=NOW))

    assert review(draft).natural_persons == 0
    assert (found.entries, found.natural_persons, found.sensitive, found.future_due) == (2, 2, 1, 1)
    assert sum(found.withheld.values()) == 2
