"""Roll files for tests: rows as text, in the columns of the template."""

import csv
import io
from collections.abc import Mapping, Sequence

from catalog.jurisdictions import Jurisdiction, Jurisdictions
from catalog.roll_columns import CHINESE_HEADINGS, REQUIRED_COLUMNS

DISTRICT = "990102"
WUXI_LIKE = Jurisdiction(DISTRICT, "示范区", "wuxi-2019", None)
WITH_BASE = Jurisdiction(DISTRICT, "示范区", "wuxi-2019", "cn-2025")
SHAANXI_LIKE = Jurisdiction(DISTRICT, "示范区", "shaanxi-2011", None)
JURISDICTIONS = Jurisdictions([WUXI_LIKE])

BASE_ROW: Mapping[str, str] = {
    "unit": "示范区图书馆",
    "system": "图书馆视频系统",
    "site": "示范区图书馆主楼",
    "class": "WX8_01",
    "location_type": "lobby",
    "civil_code": DISTRICT,
    "gb_id": "99010200001320000001",
    "host": "192.0.2.10",
    "port": "554",
    "rtsp_path": "/Streaming/Channels/101",
    "mac": "02:00:00:00:00:01",
    "serial": "SN0001",
    "credential_ref": "library",
    "connect_due_date": "2026-06-30",
    "basis": "WX-21.3",
    "address_attested": "yes",
}


def roll_row(number: int = 1, **cells: str) -> dict[str, str]:
    """A sound row with its own code, address, MAC and serial; `cells` replace columns (`class_` for class)."""
    return {
        **BASE_ROW,
        "gb_id": f"9901020000132{number:07d}",
        "host": f"192.0.2.{number % 250 + 1}",
        "rtsp_path": f"/channel/{number}",
        "mac": f"02:00:00:00:{number // 256:02x}:{number % 256:02x}",
        "serial": f"SN{number:04d}",
        **{column.rstrip("_"): value for column, value in cells.items()},
    }


def anonymous_row(number: int = 1, **cells: str) -> dict[str, str]:
    """A sound row without a 20-digit code."""
    return roll_row(number, gb_id="", **cells)


def roll_csv(
    rows: Sequence[Mapping[str, str]], headings: Sequence[str] = (), encoding: str = "utf-8"
) -> bytes:
    """The rows as CSV, under Chinese headings unless others are given (in the order of the columns)."""
    columns = list(REQUIRED_COLUMNS) + (["unit_kind"] if any("unit_kind" in row for row in rows) else [])
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(headings or [CHINESE_HEADINGS[column] for column in columns])
    writer.writerows([row.get(column, "") for column in columns] for row in rows)
    return text.getvalue().encode(encoding)
