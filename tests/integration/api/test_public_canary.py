"""What the public gets over HTTP: the duties, and nothing of devices, positions, codes, counts or status."""

import json
from typing import Any

import pytest

from catalog.database import Database
from catalog.model.connectivity import State
from tests.api_peer import Api
from tests.seed import CANARIES, NOW, Change, Seeded, apply, seed_every_state, seed_roll

pytestmark = pytest.mark.postgres

FORMS = (
    "",
    "?lang=en",
    "?lang=zh",
    "?format=json",
    "?format=json&lang=en",
    "?format=csv",
    "?format=csv&lang=en",
)
PORT = "48554"
PERSON = "CANARY-PERSON-8899"

PLANT = f"""
UPDATE endpoint SET port = {PORT}, confirmed_by = '{PERSON}', confirmed_at = now(),
       tls_pin_sha256 = repeat('ca4a', 16), protocol = 'rtsps';
UPDATE connectivity SET obstacle = 'canary_obstacle_8890', seen_at = now();
INSERT INTO sighting (protocol, host, port, server, mac, serial, gb_id, first_seen_at, last_seen_at, state)
VALUES ('rtsp', '198.51.100.78', {PORT}, 'CANARY-SERVER-8894', '{CANARIES["mac"]}', '{CANARIES["serial"]}',
        '32029900001320999999', now(), now(), 'quarantined');
"""


async def plant(database: Database) -> Seeded:
    seeded = await seed_every_state(database)
    async with database.raw_connection() as connection:
        await connection.execute(PLANT)
    return seeded


async def publish(api: Api) -> None:
    response = await api.client.post("/api/v1/editions", json={}, headers=api.headers("operator"))
    assert response.status == 201, await response.text()


async def public(api: Api) -> dict[str, bytes]:
    """Return every form of the public catalog, headers included."""
    found = {}
    for form in FORMS:
        api.clock.seconds += 10
        response = await api.client.get(f"/public/catalog{form}")
        assert response.status == 200, await response.text()
        found[form] = await response.read() + json.dumps(dict(response.headers)).encode()
    return found


async def test_no_confidential_field_reaches_the_public_in_any_form(api: Api, database: Database) -> None:
    seeded = await plant(database)
    await publish(api)

    found = await public(api)

    words = [*CANARIES.values(), *seeded.codes, PORT, PERSON, "canary", "CANARY", "ca4aca4a", "198.51.100"]
    words += [
        "32029900001320999999",
        "gateway-1",
        "测试 operator",
        "rtsp",
        "restart_grace",
        "planned_maintenance",
    ]
    words += [state.value for state in State] + ["离线", "在线", "suspended", "obstacle"]
    assert [(word, form) for form, text in found.items() for word in words if word.encode() in text] == []
    assert all("示例公园".encode() in text for text in found.values())


async def test_neither_counts_nor_status_change_what_is_published(api: Api, database: Database) -> None:
    async def entries() -> Any:
        response = await api.client.get("/public/catalog?format=json")
        return (await response.json())["entries"]

    seeded = await plant(database)
    await publish(api)
    before = await entries()
    async with database.raw_connection() as connection:
        await connection.execute(
            "INSERT INTO source (district, site_id, roll_key, gb_id, name, created_at) "
            "SELECT district, site_id, roll_key || '9', null, name, created_at FROM source"
        )
    await apply(database, [Change(source, "offline", NOW) for source in seeded.source_ids])
    await publish(api)

    assert before == await entries()


async def test_a_withheld_person_is_named_in_no_form(api: Api, database: Database) -> None:
    await seed_roll(database, count=1)
    async with database.raw_connection() as connection:
        await connection.execute("UPDATE unit SET name = 'CANARY-NATURAL-PERSON', kind = 'natural_person'")
    await publish(api)

    assert not any(b"CANARY" in text for text in (await public(api)).values())
