"""The columns of a roll file and the headings under which people write them."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from catalog.roll_problem import Problems, quoted

REQUIRED_COLUMNS: Final = (
    "unit",
    "system",
    "site",
    "class",
    "location_type",
    "civil_code",
    "gb_id",
    "host",
    "port",
    "rtsp_path",
    "mac",
    "serial",
    "credential_ref",
    "connect_due_date",
    "basis",
    "address_attested",
)
"""Columns that every roll has, in the order of the template; cells may be empty where said so."""

OPTIONAL_COLUMNS: Final = ("unit_kind",)
"""`unit_kind` marks a natural person, who is never named to the public; without it a unit is an organisation."""

CHINESE_HEADINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unit": "单位",
        "system": "系统",
        "site": "场所",
        "class": "场所类别",
        "location_type": "位置类型",
        "civil_code": "行政区划代码",
        "gb_id": "国标编码",
        "host": "主机地址",
        "port": "端口",
        "rtsp_path": "RTSP路径",
        "mac": "MAC地址",
        "serial": "序列号",
        "credential_ref": "凭据引用",
        "connect_due_date": "应接入日期",
        "basis": "依据",
        "address_attested": "地址已确认",
        "unit_kind": "单位性质",
    }
)
"""The heading of each column in the Chinese template."""

_OTHER_HEADINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "责任单位": "unit",
        "单位名称": "unit",
        "系统名称": "system",
        "场所名称": "site",
        "类别": "class",
        "位置": "location_type",
        "安装部位": "location_type",
        "行政区划": "civil_code",
        "区划代码": "civil_code",
        "设备编码": "gb_id",
        "国标编号": "gb_id",
        "主机": "host",
        "地址": "host",
        "IP": "host",
        "IP地址": "host",
        "端口号": "port",
        "取流路径": "rtsp_path",
        "路径": "rtsp_path",
        "MAC": "mac",
        "设备序列号": "serial",
        "凭据": "credential_ref",
        "凭据名称": "credential_ref",
        "接入期限": "connect_due_date",
        "应接入期限": "connect_due_date",
        "接入依据": "basis",
        "地址确认": "address_attested",
        "地址是否确认": "address_attested",
    }
)

_IGNORED: Final = str.maketrans("", "", " \t\r\n_-*:　\ufeff")


def _key(heading: str) -> str:
    return unicodedata.normalize("NFKC", heading).casefold().translate(_IGNORED)


_COLUMN_OF: Final[Mapping[str, str]] = MappingProxyType(
    {_key(column): column for column in REQUIRED_COLUMNS + OPTIONAL_COLUMNS}
    | {_key(heading): column for column, heading in CHINESE_HEADINGS.items()}
    | {_key(heading): column for heading, column in _OTHER_HEADINGS.items()}
)


def read_headings(row: int, headings: Sequence[str], problems: Problems) -> dict[str, int]:
    """Return the position of each column by its name.

    Letter case, blanks, hyphens and underscores do not matter. Unknown, repeated and missing headings are
    noted in `problems`; an unknown one with the nearest known heading.
    """
    positions: dict[str, int] = {}
    for position, heading in enumerate(headings):
        if not heading:
            continue
        column = _COLUMN_OF.get(_key(heading))
        if column is None:
            _note_unknown(row, heading, problems)
        elif column in positions:
            problems.add(
                row,
                column,
                "heading_repeated",
                (f"列 {quoted(heading)} 出现两次", f"the column {quoted(heading)} stands twice"),
            )
        else:
            positions[column] = position
    for column in REQUIRED_COLUMNS:
        if column not in positions:
            heading = CHINESE_HEADINGS[column]
            problems.add(
                row,
                column,
                "heading_missing",
                (f"缺少列「{heading}」（{column}）", f"the column {column} ({heading}) is missing"),
            )
    return positions


def _note_unknown(row: int, heading: str, problems: Problems) -> None:
    near = difflib.get_close_matches(_key(heading)[:100], _COLUMN_OF, n=1, cutoff=0.6)
    column = _COLUMN_OF[near[0]] if near else None
    zh = f"，是否为「{CHINESE_HEADINGS[column]}」（{column}）？" if column else ""
    en = f"; did you mean {column} ({CHINESE_HEADINGS[column]})?" if column else ""
    problems.add(
        row,
        "",
        "heading_unknown",
        (f"未知列 {quoted(heading)}{zh}", f"unknown column {quoted(heading)}{en}"),
    )
