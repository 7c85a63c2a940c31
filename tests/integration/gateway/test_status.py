"""The status service on a real catalog: every transition exactly once, and nothing shown that is not stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from catalog.database import Database
from catalog.errors import DatabaseAway
from catalog.incidents import list_incidents
from catalog.model.connectivity import Connectivity, DegradeReason, State
from catalog.model.display import Displayed, UnknownReason
from catalog.model.incident import Basis, Fault, Incident
from catalog.observations import Contact, Observations, StatusChange, WriterReplaced
from catalog.reading import Region
from catalog.reports import View
from gateway.liveness import Liveness, LivenessRules, SelfTest
from gateway.status import FlappingRule, StatusService
from gateway.status_journal import StatusJournal
from gateway.steady_time import SteadyTime
from tests.clock import HandClock
from tests.postgres import PostgresServer
from tests.seed import ELSEWHERE, GATEWAY, NOW, seed_roll

pytestmark = pytest.mark.postgres


@dataclass
class Bench:
    """One run of a gateway over a database, with its clock."""

    database: Database
    clock: HandClock
    service: StatusService

    async def probe(self, source_id: int, *, answers: bool, turns: int = 1) -> None:
        """Let one interval pass and ask, `turns` times."""
        for _ in range(turns):
            self.clock.advance(60)
            if answers:
                self.service.alive(source_id, at=self.clock.monotonic())
            else:
                self.service.missed(source_id, at=self.clock.monotonic(), cause="timeout")
            self.service.judge()
            await self.service.flush()

    async def connect(self, *source_ids: int) -> None:
        """Prove first connections."""
        self.clock.advance(1)
        for source_id in source_ids:
            self.service.connected(source_id, at=self.clock.monotonic(), detail={"codec": "H264"})
        await self.service.flush()

    def shown(self, source_id: int) -> Displayed:
        view = self.service.view(source_id)
        assert view is not None
        return view.displayed


async def begin(database: Database, clock: HandClock | None = None, **options: int) -> Bench:
    clock = clock or HandClock(NOW)
    liveness = Liveness(LivenessRules(), started=clock.monotonic())
    service = StatusService(Observations(database, GATEWAY), liveness, clock, **options)  # type: ignore[arg-type]
    await service.start()
    return Bench(database, clock, service)


async def history(database: Database, source_id: int) -> list[tuple[str, datetime, datetime]]:
    async with database.raw_connection() as connection:
        rows = await connection.fetch(
            "SELECT state, started_at, ended_at FROM connectivity_interval WHERE source_id = $1 ORDER BY ended_at",
            source_id,
        )
    return [(row["state"], row["started_at"], row["ended_at"]) for row in rows]


async def facts(database: Database, source_id: int) -> list[tuple[str, str | None, str]]:
    async with database.raw_connection() as connection:
        rows = await connection.fetch(
            "SELECT kind, reason, state_after FROM evidence WHERE source_id = $1 ORDER BY seq", source_id
        )
    return [(row["kind"], row["reason"], row["state_after"]) for row in rows]


async def overlays(database: Database) -> list[tuple[int | None, str, float]]:
    async with database.raw_connection() as connection:
        rows = await connection.fetch("SELECT * FROM overlay_interval ORDER BY overlay_id")
    return [(r["source_id"], r["reason"], (r["ended_at"] - r["started_at"]).total_seconds()) for r in rows]


async def rollups_differ_from_a_recount(database: Database) -> list[object]:
    async with database.raw_connection() as connection:
        before = await connection.fetch("SELECT * FROM site_rollup ORDER BY site_id")
        districts = await connection.fetch("SELECT * FROM district_rollup ORDER BY district")
        await connection.execute("SELECT recount_rollups(array_agg(site_id)) FROM site")
        after = await connection.fetch("SELECT * FROM site_rollup ORDER BY site_id")
        recounted = await connection.fetch("SELECT * FROM district_rollup ORDER BY district")
    return [
        pair for pair in zip([*before, *districts], [*after, *recounted], strict=True) if pair[0] != pair[1]
    ]


async def test_a_killed_camera_is_offline_from_one_interval_after_its_last_answer_and_comes_back(
    database: Database,
) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    await bench.connect(source)
    connected_at = bench.clock.now()
    await bench.probe(source, answers=True)
    last_answer = bench.clock.now()
    await bench.probe(source, answers=False, turns=2)
    still = bench.shown(source)
    await bench.probe(source, answers=False)
    gone = bench.shown(source)
    await bench.probe(source, answers=True)
    back_at = bench.clock.now()
    first = NOW - timedelta(days=30)

    assert (still, gone, bench.shown(source)) == (Displayed.ONLINE, Displayed.OFFLINE, Displayed.ONLINE)
    assert await history(database, source) == [
        ("never_connected", first, connected_at),
        ("online", connected_at, last_answer + timedelta(seconds=60)),
        ("offline", last_answer + timedelta(seconds=60), back_at),
    ]
    assert await facts(database, source) == [
        ("connected", None, "online"),
        ("lost", "timeout", "offline"),
        ("alive", None, "online"),
    ]
    assert await rollups_differ_from_a_recount(database) == []


async def test_answers_alone_never_make_a_first_connection(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    bench.service.seen(source, at=bench.clock.monotonic())
    await bench.probe(source, answers=True, turns=3)
    async with database.raw_connection() as connection:
        seen_at = await connection.fetchval("SELECT seen_at FROM connectivity WHERE source_id = $1", source)

    assert bench.shown(source) is Displayed.NEVER_CONNECTED
    assert seen_at is not None
    assert await facts(database, source) == []


async def test_after_kill_9_at_most_restart_grace_shows_and_no_since_moves(database: Database) -> None:
    online, offline, never = (await seed_roll(database)).source_ids[:3]
    first = await begin(database)
    await first.connect(online, offline)
    for _ in range(4):
        await first.probe(offline, answers=False)
        first.service.alive(online, at=first.clock.monotonic())
    async with database.raw_connection() as connection:
        before = await connection.fetch("SELECT source_id, state, since FROM connectivity ORDER BY source_id")
    first.clock.advance(30)
    second = await begin(database, first.clock)
    shown = [second.shown(source) for source in (online, offline, never)]
    async with database.raw_connection() as connection:
        after = await connection.fetch("SELECT source_id, state, since FROM connectivity ORDER BY source_id")
    await second.probe(online, answers=True)
    for _ in range(3):
        await second.probe(offline, answers=False)
        second.service.alive(online, at=second.clock.monotonic())

    assert shown == [Displayed.UNKNOWN, Displayed.UNKNOWN, Displayed.NEVER_CONNECTED]
    assert before == after
    assert second.shown(online) is Displayed.ONLINE
    assert second.shown(offline) is Displayed.OFFLINE
    assert [row for row in await overlays(database) if row[0] is None] == [(None, "gateway_down", 30.0)]
    assert await rollups_differ_from_a_recount(database) == []


async def test_an_outage_of_the_database_is_unknown_and_loses_no_transition(postgres: PostgresServer) -> None:
    with postgres.copy() as url:
        async with Database(url) as database:
            source = (await seed_roll(database)).source_ids[0]
            bench = await begin(database)
            await bench.connect(source)
            shown_before = bench.shown(source)
        # The pool is closed: every statement now raises DatabaseAway, as with a server that is gone.
        await bench.probe(source, answers=False, turns=3)
        shown_away, stored = bench.shown(source), bench.service.is_stored
        async with Database(url) as again:
            bench.service._observations._database = again
            bench.clock.advance(1)
            await bench.service.flush()
            closed = [row[0] for row in await history(again, source)]
            outages = [row for row in await overlays(again) if row[1] == "database_away"]

    assert (shown_before, shown_away, stored) == (Displayed.ONLINE, Displayed.ONLINE, False)
    assert bench.shown(source) is Displayed.OFFLINE
    assert closed == ["never_connected", "online"]
    assert [row[2] for row in outages] == [181.0]


async def test_a_batch_whose_commit_was_not_acknowledged_may_be_written_again(database: Database) -> None:
    class Forgetful(Observations):
        """Writes for real, and forgets that it did."""

        forget = False

        async def write(
            self, changes: Sequence[StatusChange], contacts: Sequence[Contact], *, observed_until: datetime
        ) -> None:
            await super().write(changes, contacts, observed_until=observed_until)
            if self.forget and changes:
                self.forget = False
                await super().write(changes, contacts, observed_until=observed_until)

    source = (await seed_roll(database)).source_ids[0]
    clock = HandClock(NOW)
    observations = Forgetful(database, GATEWAY)
    bench = Bench(
        database,
        clock,
        StatusService(observations, Liveness(LivenessRules(), started=clock.monotonic()), clock),
    )
    await bench.service.start()
    await bench.connect(source)
    observations.forget = True
    for _ in range(3):
        bench.clock.advance(60)
        bench.service.missed(source, at=bench.clock.monotonic(), cause="timeout")
    bench.service.judge()
    bench.clock.advance(1)
    bench.service.alive(source, at=bench.clock.monotonic())
    await bench.service.flush()

    assert [row[0] for row in await history(database, source)] == ["never_connected", "online", "offline"]
    assert len(await facts(database, source)) == 3
    assert await rollups_differ_from_a_recount(database) == []


class Unacknowledged(Observations):
    """Stores for real; then the answer to one COMMIT is lost on its way."""

    loses_next = False

    async def write(
        self, changes: Sequence[StatusChange], contacts: Sequence[Contact], *, observed_until: datetime
    ) -> None:
        await super().write(changes, contacts, observed_until=observed_until)
        if self.loses_next:
            self.loses_next = False
            raise DatabaseAway("the answer was lost")


async def begin_unacknowledged(database: Database, **options: int) -> tuple[Bench, Unacknowledged]:
    clock = HandClock(NOW)
    observations = Unacknowledged(database, GATEWAY)
    liveness = Liveness(LivenessRules(), started=clock.monotonic())
    bench = Bench(database, clock, StatusService(observations, liveness, clock, **options))  # type: ignore[arg-type]
    await bench.service.start()
    return bench, observations


async def test_what_came_after_an_unacknowledged_commit_is_stored_with_the_repeated_batch(
    database: Database,
) -> None:
    first, second = (await seed_roll(database)).source_ids[:2]
    bench, observations = await begin_unacknowledged(database)
    observations.loses_next = True
    await bench.connect(first)
    await bench.connect(second)
    await bench.probe(first, answers=False, turns=3)

    assert [kind for kind, _, _ in await facts(database, first)] == ["connected", "lost"]
    assert [kind for kind, _, _ in await facts(database, second)] == ["connected"]
    assert [len(await history(database, source)) for source in (first, second)] == [2, 1]
    assert await rollups_differ_from_a_recount(database) == []


async def test_a_dropped_change_does_not_make_the_rest_of_an_unacknowledged_batch_fail_for_ever(
    database: Database,
) -> None:
    sources = (await seed_roll(database)).source_ids[:4]
    bench, observations = await begin_unacknowledged(database, pending_limit=3)
    observations.loses_next = True
    await bench.connect(*sources[:3])
    await bench.connect(sources[3])

    assert bench.service.dropped == 1
    assert [len(await facts(database, source)) for source in sources] == [1, 1, 1, 1]


async def test_an_outage_told_twice_is_one_interval(database: Database) -> None:
    await seed_roll(database)
    observations = Observations(database, GATEWAY)
    for seconds in (60, 90):
        await observations.add_outage(UnknownReason.DATABASE_AWAY, NOW, NOW + timedelta(seconds=seconds))

    assert await overlays(database) == [(None, "database_away", 90.0)]


async def test_a_source_let_in_again_is_unknown_and_not_what_it_was_when_it_was_taken_out(
    database: Database,
) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    await bench.connect(source)
    shown: list[Displayed] = []
    for counted in (False, True):
        async with database.raw_connection() as connection:
            await connection.execute(
                "UPDATE connectivity SET counted = $2 WHERE source_id = $1", source, counted
            )
            await connection.execute("SELECT recount_rollups(array_agg(site_id)) FROM site")
        await bench.service.reload()
        bench.clock.advance(3600)
    await bench.service.flush()
    shown.append(bench.shown(source))
    await bench.probe(source, answers=True)
    shown.append(bench.shown(source))

    assert shown == [Displayed.UNKNOWN, Displayed.ONLINE]
    assert await rollups_differ_from_a_recount(database) == []


async def test_an_unknown_left_behind_by_the_time_outside_the_roll_ends_with_the_first_answer(
    database: Database,
) -> None:
    source = (await seed_roll(database)).source_ids[0]
    first = await begin(database)
    await first.connect(source)
    second = await begin(database, first.clock)  # restart_grace is stored now
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE connectivity SET counted = false WHERE source_id = $1", source)
    await second.service.reload()
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE connectivity SET counted = true WHERE source_id = $1", source)
    await second.service.reload()
    await second.probe(source, answers=True)

    assert second.shown(source) is Displayed.ONLINE


async def test_a_first_connection_counts_though_the_roll_was_imported_by_a_clock_that_is_ahead(
    database: Database,
) -> None:
    source = (await seed_roll(database, count=2)).source_ids[0]
    bench = await begin(database)
    async with database.raw_connection() as connection:
        # A row born after our start, ten minutes from now.
        await connection.execute(
            "UPDATE connectivity SET since = $2 WHERE source_id = $1", source, NOW + timedelta(minutes=10)
        )
        await connection.execute("UPDATE connectivity SET counted = false WHERE source_id = $1", source)
    await bench.service.reload()
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE connectivity SET counted = true WHERE source_id = $1", source)
    await bench.service.reload()
    await bench.connect(source)

    assert bench.shown(source) is Displayed.ONLINE


async def test_a_source_that_moves_to_another_district_is_told_of_there(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    await seed_roll(database, count=1, district=ELSEWHERE)
    bench = await begin(database)
    async with database.raw_connection() as connection:
        for table in ("source", "connectivity"):
            await connection.execute(
                f"UPDATE {table} SET district = $2 WHERE source_id = $1", source, ELSEWHERE
            )
    await bench.service.reload()
    view = bench.service.view(source)

    assert view is not None
    assert view.district == ELSEWHERE


async def test_an_older_start_of_the_gateway_can_no_longer_write(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    old = await begin(database)
    await begin(database, old.clock)
    old.service.connected(source, at=old.clock.monotonic())

    with pytest.raises(WriterReplaced):
        await old.service.flush()
    assert await facts(database, source) == []


async def test_lost_media_degrades_only_a_source_that_still_answers(database: Database) -> None:
    talking, silent = (await seed_roll(database)).source_ids[:2]
    bench = await begin(database)
    await bench.connect(talking, silent)
    bench.clock.advance(10)
    for source in (talking, silent):
        bench.service.impaired(source, DegradeReason.NO_MEDIA, at=bench.clock.monotonic())
    bench.clock.advance(50)
    bench.service.alive(talking, at=bench.clock.monotonic())
    await bench.probe(silent, answers=False, turns=3)
    degraded = bench.service.view(talking)
    bench.service.restored(talking, DegradeReason.NO_MEDIA, at=bench.clock.monotonic())
    await bench.service.flush()

    assert degraded is not None
    assert (degraded.displayed, degraded.reasons) == (Displayed.DEGRADED, (DegradeReason.NO_MEDIA,))
    assert degraded.since == NOW + timedelta(seconds=11)
    assert bench.shown(silent) is Displayed.OFFLINE
    assert bench.shown(talking) is Displayed.ONLINE
    assert [kind for kind, _, _ in await facts(database, silent)] == ["connected", "lost"]


async def test_what_went_wrong_while_a_source_was_away_does_not_degrade_it_when_it_is_back(
    database: Database,
) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    await bench.connect(source)
    await bench.probe(source, answers=False, turns=3)
    bench.service.impaired(source, DegradeReason.NO_MEDIA, at=bench.clock.monotonic())
    await bench.probe(source, answers=True)
    back = bench.shown(source)
    bench.service.impaired(source, DegradeReason.NO_MEDIA, at=bench.clock.monotonic())
    await bench.probe(source, answers=True)

    assert (back, bench.shown(source)) == (Displayed.ONLINE, Displayed.DEGRADED)
    assert [state for state, _, _ in await history(database, source)] == [
        "never_connected",
        "online",
        "offline",
        "online",
    ]


async def test_a_clock_set_back_an_hour_changes_no_status_and_makes_no_negative_interval(
    database: Database,
) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    await bench.connect(source)
    bench.clock.step(-3600)
    await bench.probe(source, answers=True)
    after_step = bench.shown(source)
    await bench.probe(source, answers=False, turns=3)
    lost = bench.shown(source)
    await bench.probe(source, answers=True)
    intervals = await history(database, source)

    assert (after_step, lost, bench.shown(source)) == (Displayed.ONLINE, Displayed.OFFLINE, Displayed.ONLINE)
    assert all(start < end for _, start, end in intervals)
    assert [state for state, _, _ in intervals] == ["never_connected", "online", "offline"]


async def test_six_turns_in_an_hour_mark_a_source_as_flapping_and_hide_none(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database, flapping=FlappingRule(6, 3600))  # type: ignore[arg-type]
    await bench.connect(source)
    for _ in range(3):
        await bench.probe(source, answers=False, turns=3)
        await bench.probe(source, answers=True)
    flapping = bench.service.view(source)
    await bench.probe(source, answers=True, turns=70)
    settled = bench.service.view(source)

    assert flapping is not None
    assert settled is not None
    assert (flapping.flapping, settled.flapping) == (True, False)
    assert len(await history(database, source)) == 7


async def test_a_restart_does_not_settle_a_flapping_source(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    first = await begin(database)
    await first.connect(source)
    for _ in range(3):
        await first.probe(source, answers=False, turns=3)
        await first.probe(source, answers=True)
    second = await begin(database, first.clock)
    await second.probe(source, answers=True, turns=3)
    restarted = second.service.view(source)
    await second.probe(source, answers=True, turns=60)
    settled = second.service.view(source)

    assert restarted is not None
    assert settled is not None
    assert (restarted.flapping, settled.flapping) == (True, False)


async def test_what_the_roll_adds_and_retires_is_taken_in_without_a_restart(database: Database) -> None:
    seeded = await seed_roll(database, count=2)
    bench = await begin(database)
    await bench.connect(seeded.source_ids[0])
    async with database.raw_connection() as connection:
        await connection.execute(
            "UPDATE connectivity SET counted = false WHERE source_id = $1", seeded.source_ids[1]
        )
    await bench.service.reload()

    assert bench.service.view(seeded.source_ids[1]) is None
    assert bench.service.view_by_code(seeded.codes[1]) is None
    assert bench.shown(seeded.source_ids[0]) is Displayed.ONLINE


async def test_listeners_hear_what_is_stored_in_order(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    with bench.service.feed.listen() as listener:
        await bench.connect(source)
        await bench.probe(source, answers=False, turns=3)
        heard = [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]

    assert [(event.kind, event.state) for event in heard] == [
        ("connected", State.ONLINE),
        ("lost", State.OFFLINE),
    ]
    assert heard[0].seq < heard[1].seq
    assert bench.service.feed.after(heard[0].seq) == heard[1:]


async def test_changes_beyond_the_limit_are_dropped_oldest_first_and_counted(database: Database) -> None:
    seeded = await seed_roll(database)
    bench = await begin(database, pending_limit=3)
    for source in seeded.source_ids[:5]:
        bench.service.connected(source, at=bench.clock.monotonic() + 1)

    assert (bench.service.waiting, bench.service.dropped) == (3, 2)


async def test_unknown_of_a_suspected_common_cause_is_closed_without_trace_when_it_was_not_us(
    database: Database,
) -> None:
    seeded = await seed_roll(database, count=20)
    bench = await begin(database)
    await bench.connect(*seeded.source_ids)
    for _ in range(3):
        bench.clock.advance(60)
        for source in seeded.source_ids:
            bench.service.missed(source, at=bench.clock.monotonic(), cause="unreachable")
    bench.service.judge()
    await bench.service.flush()
    suspected = {view.unknown for view in bench.service.views}
    bench.clock.advance(300)
    bench.service.judge()
    await bench.service.flush()

    assert suspected == {UnknownReason.COMMON_CAUSE_SUSPECTED}
    assert {view.displayed for view in bench.service.views} == {Displayed.OFFLINE}
    assert {view.since for view in bench.service.views} == {NOW + timedelta(seconds=61)}
    assert await overlays(database) == []
    assert await rollups_differ_from_a_recount(database) == []


@pytest.mark.parametrize("result", list(SelfTest))
async def test_an_incident_is_kept_with_its_verdict_and_what_became_of_its_sources(
    database: Database, result: SelfTest
) -> None:
    seeded = await seed_roll(database, count=30)
    await seed_roll(database, count=2, district=ELSEWHERE)
    bench = await begin(database)
    await bench.connect(*seeded.source_ids)
    silent, there = seeded.source_ids[:24], seeded.source_ids[24:]
    for _ in range(3):
        bench.clock.advance(60)
        for source in silent:
            bench.service.missed(source, at=bench.clock.monotonic(), cause="unreachable")
        for source in there:
            bench.service.alive(source, at=bench.clock.monotonic())
    bench.service.judge()
    bench.service.conclude(result)
    await bench.service.flush()
    bench.clock.advance(60)
    for source in silent[:3]:
        bench.service.alive(source, at=bench.clock.monotonic())
    await bench.service.flush()

    view = View(bench.clock.now())
    [row] = (await list_incidents(database, view)).items
    [elsewhere] = (await list_incidents(database, View(view.now, Region(ELSEWHERE)))).items

    is_ours = result is SelfTest.OURS
    assert (row.incident.name, row.incident.silent) == ("2-incident-1", 24)
    assert row.incident.fault is (Fault.OURS if is_ours else Fault.NOT_OURS)
    assert row.incident.basis is Basis.SELF_TEST
    assert row.incident.decided_at - row.incident.silent_from == timedelta(seconds=180)
    assert (row.lost, row.back, row.sites, row.districts) == (
        (0, 0, 0, ()) if is_ours else (24, 3, 2, ("320299",))
    )
    assert (row.last_back is None) == is_ours
    assert (elsewhere.lost, elsewhere.districts) == (0, ())


async def test_an_incident_waits_for_a_database_that_is_away(database: Database) -> None:
    incident = Incident("1-incident-1", NOW, NOW, NOW, Fault.OURS, Basis.SELF_TEST, 20)
    await seed_roll(database, count=2)
    bench = await begin(database)
    journal = StatusJournal(AwayOnce(database, GATEWAY), bench.clock, heartbeat=15.0)
    journal.note_incident(incident)
    steady = SteadyTime(bench.clock)

    await journal.flush(steady, lambda *_: None)
    assert (await list_incidents(database, View(NOW))).items == ()
    await journal.flush(steady, lambda *_: None)
    assert [row.incident for row in (await list_incidents(database, View(NOW))).items] == [incident]


async def test_an_incident_that_the_database_refuses_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Of no silent source there is no incident: the schema says so."""
    bad = Incident("1-incident-1", NOW, NOW, NOW, Fault.OURS, Basis.SELF_TEST, 0)
    good = Incident("1-incident-2", NOW, NOW, NOW, Fault.OURS, Basis.SELF_TEST, 20)
    await seed_roll(database, count=2)
    clock = HandClock(NOW)
    journal = StatusJournal(IncidentsAlone(database, GATEWAY), clock, heartbeat=15.0)
    journal.note_incident(bad)
    journal.note_incident(good)

    await journal.flush(SteadyTime(clock), lambda *_: None)

    assert [row.incident for row in (await list_incidents(database, View(NOW))).items] == [good]
    assert "incident 1-incident-1 is not stored" in caplog.text


class IncidentsAlone(Observations):
    """An observer that stores incidents and nothing else."""

    async def write(self, *_: object, **__: object) -> None:
        """Nothing else is stored here."""


class AwayOnce(IncidentsAlone):
    """One whose database is away at the first incident."""

    was_away = False

    async def note_incident(self, incident: Incident) -> None:
        if not self.was_away:
            self.was_away = True
            raise DatabaseAway("away")
        await super().note_incident(incident)


def change_of(source_id: int, seq: int, unknown: UnknownReason | None) -> StatusChange:
    """A first connection, perhaps with an unknown reason laid over it."""
    at = NOW + timedelta(seconds=seq)
    return StatusChange(
        source_id=source_id,
        seq=seq,
        district="320299",
        kind="connected",
        at=at,
        received_at=at,
        connectivity=Connectivity(State.ONLINE, at, first_connected_at=at),
        unknown=unknown,
        unknown_at=at if unknown else None,
    )


async def test_a_change_that_the_database_refuses_holds_up_no_other(database: Database) -> None:
    first, second, third = (await seed_roll(database)).source_ids[:3]
    clock = HandClock(NOW)
    observations = Observations(database, GATEWAY)
    await observations.start(NOW)
    journal = StatusJournal(observations, clock, heartbeat=15)
    # No source of its own is ever gateway_down: the schema refuses the row.
    for source, seq, unknown in ((first, 1, None), (second, 2, UnknownReason.GATEWAY_DOWN), (third, 3, None)):
        journal.add(change_of(source, seq, unknown))
    stored: list[int] = []
    await journal.flush(SteadyTime(clock), lambda changes, _: stored.extend(c.source_id for c in changes))

    assert stored == [first, third]
    assert len(journal) == 0
    assert [kind for kind, _, _ in await facts(database, third)] == ["connected"]
    assert await facts(database, second) == []
    assert await rollups_differ_from_a_recount(database) == []


async def test_media_that_our_own_outage_cut_is_not_held_against_the_source(database: Database) -> None:
    source = (await seed_roll(database)).source_ids[0]
    bench = await begin(database)
    await bench.connect(source)
    bench.service.own_network(False)
    bench.clock.advance(15)
    bench.service.impaired(source, DegradeReason.NO_MEDIA, at=bench.clock.monotonic())
    for _ in range(4):
        await bench.probe(source, answers=False)
    away = bench.shown(source)
    bench.service.own_network(True)
    await bench.probe(source, answers=True)

    assert (away, bench.shown(source)) == (Displayed.UNKNOWN, Displayed.ONLINE)
    assert [row[0] for row in await history(database, source)] == ["never_connected"]


async def test_time_before_the_first_start_is_unknown_and_charged_to_nobody(database: Database) -> None:
    await seed_roll(database, count=1)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE gateway SET epoch = 0, started_at = NULL, observed_until = NULL")
    await begin(database)
    async with database.raw_connection() as connection:
        [row] = await connection.fetch("SELECT * FROM overlay_interval")

    assert (row["gateway_id"], row["reason"]) == (GATEWAY, "gateway_down")
    assert (row["started_at"], row["ended_at"]) == (NOW - timedelta(days=30), NOW)
