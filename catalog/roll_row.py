"""One row of the roll: its typed form, and the checks that make it from cells.

The identity of a row across imports (`RollRow.key`):

1. with a 20-digit code: that code;
2. else unit, system and site, with the device: MAC, else serial number, each together with the path (the
   channels of one recorder share both), else host, port and path.

So an address may change under a MAC, and a name under a code, without making a new source. A row that is given
its 20-digit code later still finds its source (`alternative_key`). A code that turns up again after its source was
retired makes a new source (domain.md 4.7, E15).
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from catalog.jurisdictions import DISTRICT_DIGITS, Jurisdictions
from catalog.model.codes import CivilCode, GbId
from catalog.model.profile import (
    ConnectionDuty,
    Forbidden,
    ForbiddenLocation,
    LocationType,
    Profile,
    judge_location,
)
from catalog.roll_cells import (
    CellProblem,
    read_attested,
    read_credential_ref,
    read_date,
    read_gb_id,
    read_host,
    read_mac,
    read_name,
    read_port,
    read_rtsp_path,
    read_serial,
)
from catalog.roll_person import UNIT_KINDS, UnitKind, looks_like_a_person
from catalog.roll_problem import Problems, quoted

RTSP_PORT: Final = 554
ONVIF_PORT: Final = 80
GB_KEY: Final = "gb:"
ROW_KEY: Final = "row:"


@dataclass(frozen=True, slots=True)
class RollRow:
    """One source of the roll."""

    row: int
    """Its row in the file."""
    unit: str
    unit_kind: UnitKind | None
    """None: the file does not say; what is known stays, and a new unit is an organisation."""
    system: str
    site: str
    place_class: str
    location_type: str | None
    """None: nobody attested what the camera looks at, so it is not relayed."""
    civil_code: CivilCode
    gb_id: GbId | None
    host: str | None
    port: int | None
    rtsp_path: str | None
    mac: str | None
    """Lower case, colons."""
    serial: str | None
    credential_ref: str | None
    """Name of a credential, never the credential."""
    due_on: date | None
    basis: str | None
    """Requirement id; None: the source is on the roll voluntarily."""
    is_bound: bool
    """Whether `basis` is a duty to connect, so that the site gets a duty."""
    address_attested: bool
    rejected_by: str | None
    """The requirement that forbids the location by name, e.g. `WX-9`; such a source is never relayed."""
    key: str
    alternative_key: str | None

    @property
    def district(self) -> str:
        """The six digits of the jurisdiction."""
        return self.civil_code.text[:DISTRICT_DIGITS]


class _Cells:
    """Reads the cells of one row, noting what is wrong with them."""

    def __init__(self, row: int, cells: Mapping[str, str], problems: Problems) -> None:
        self.row = row
        self._cells = cells
        self._problems = problems
        self._noted_before = len(problems)

    @property
    def is_sound(self) -> bool:
        return len(self._problems) == self._noted_before

    def text(self, column: str) -> str:
        return self._cells.get(column, "")

    def note(self, column: str, code: str, zh: str, en: str) -> None:
        self._problems.add(self.row, column, code, (zh, en))

    def note_problem(self, column: str, problem: CellProblem) -> None:
        self._problems.add(self.row, column, problem.code, problem.message)

    def name(self, column: str) -> str:
        text = self.text(column)
        if not text:
            self.note(column, "required", "不能为空", "must not be empty")
            return ""
        try:
            return read_name(text)
        except CellProblem as problem:
            self.note_problem(column, problem)
            return ""


def read_row(
    row: int, cells: Mapping[str, str], jurisdictions: Jurisdictions, problems: Problems
) -> RollRow | None:
    """Check one row; return None after noting every problem that it has.

    Args:
        row: its number in the file.
        cells: stripped text by column.
        jurisdictions: which law applies where.
        problems: takes what is wrong.
    """
    reader = _Cells(row, cells, problems)
    unit, system, site = reader.name("unit"), reader.name("system"), reader.name("site")
    unit_kind = _unit_kind(reader, unit)
    civil_code, profile = _civil_code(reader, jurisdictions)
    place_class = _place_class(reader, profile)
    location_type = _location_type(reader, profile)
    basis, due_on, is_bound = _duty(reader, profile)
    gb_id, mac, serial = _device(reader)
    address = _address(reader)
    if civil_code is None or profile is None or not reader.is_sound:
        return None
    row_key = _row_key((unit, system, site), address, mac, serial)
    if gb_id is None and row_key is None:
        reader.note(
            "gb_id",
            "identity_missing",
            "国标编码、MAC地址、序列号、主机地址至少填一项，否则无法识别该行",
            "one of gb_id, mac, serial or host is needed to recognise the row again",
        )
        return None
    return RollRow(
        row=row,
        unit=unit,
        unit_kind=unit_kind,
        system=system,
        site=site,
        place_class=place_class,
        location_type=location_type,
        civil_code=civil_code,
        gb_id=gb_id,
        host=address.host,
        port=address.port,
        rtsp_path=address.rtsp_path,
        mac=mac,
        serial=serial,
        credential_ref=address.credential_ref,
        due_on=due_on,
        basis=basis,
        is_bound=is_bound,
        address_attested=address.is_attested,
        rejected_by=_rejected_by(profile, location_type),
        key=f"{GB_KEY}{gb_id}" if gb_id else row_key or "",
        alternative_key=row_key if gb_id else None,
    )


def _unit_kind(reader: _Cells, unit: str) -> UnitKind | None:
    text = reader.text("unit_kind")
    kind = UNIT_KINDS.get(text.casefold().replace("_", "").replace(" ", ""))
    if text and kind is None:
        reader.note(
            "unit_kind",
            "unknown_value",
            f"{quoted(text)} 应为「单位」或「个人」",
            f"{quoted(text)} is not one of organisation, natural_person",
        )
    if not text and looks_like_a_person(unit):
        reader.note(
            "unit_kind",
            "unit_may_be_a_person",
            "单位名称像自然人姓名，请在「单位性质」列写明「单位」或「个人」",
            "the unit looks like a natural person's name: say organisation or natural_person in unit_kind",
        )
    return kind


def _civil_code(
    reader: _Cells, jurisdictions: Jurisdictions
) -> tuple[CivilCode, Profile] | tuple[None, None]:
    text = reader.text("civil_code")
    try:
        code = CivilCode.parse(text)
    except ValueError as error:
        reader.note("civil_code", "civil_code_invalid", f"行政区划代码无效：{error}", str(error))
        return None, None
    jurisdiction = jurisdictions.of(code)
    if len(code.text) < DISTRICT_DIGITS or jurisdiction is None:
        known = ", ".join(item.district for item in list(jurisdictions)[:5])
        reader.note(
            "civil_code",
            "jurisdiction_unknown",
            f"{quoted(text)} 不是已配置辖区（{known}）内的区县代码",
            f"{quoted(text)} is no district of the configured jurisdictions ({known})",
        )
        return None, None
    return code, jurisdiction.effective()


def _place_class(reader: _Cells, profile: Profile | None) -> str:
    text = reader.text("class")
    if not text:
        reader.note("class", "required", "不能为空", "must not be empty")
    elif profile is not None and profile.place_class(text.upper()) is None:
        codes = ", ".join(item.code for item in profile.place_classes)
        reader.note(
            "class",
            "class_unknown",
            f"{quoted(text)} 不是 {profile.name} 的场所类别（{codes}）",
            f"{quoted(text)} is no place class of {profile.name} ({codes})",
        )
    return text.upper()


def _location_type(reader: _Cells, profile: Profile | None) -> str | None:
    text = reader.text("location_type")
    if not text or profile is None:
        return None
    value = text.casefold().replace(" ", "_").replace("-", "_")
    known: tuple[LocationType | ForbiddenLocation, ...] = (
        *profile.location_types,
        *profile.forbidden_locations,
    )
    for item in known:
        if value == item.value or text == item.title.zh:
            return item.value
    reader.note(
        "location_type",
        "location_type_unknown",
        f"{quoted(text)} 不是已知的位置类型",
        f"{quoted(text)} is no known location type",
    )
    return None


def _rejected_by(profile: Profile, location_type: str | None) -> str | None:
    judgement = judge_location(profile, location_type)
    return judgement.requirements[0].id if isinstance(judgement, Forbidden) else None


def _duty(reader: _Cells, profile: Profile | None) -> tuple[str | None, date | None, bool]:
    due_on: date | None = None
    try:
        due_on = read_date(reader.text("connect_due_date"))
    except CellProblem as problem:
        reader.note_problem("connect_due_date", problem)
    text = reader.text("basis")
    basis = profile.duty_basis(text) if profile is not None and text else None
    if text and profile is not None and basis is None:
        known = ", ".join(item.requirement for item in profile.duty_bases) or "–"
        reader.note(
            "basis",
            "basis_unknown",
            f"{quoted(text)} 不是 {profile.name} 的接入依据（{known}）",
            f"{quoted(text)} is no basis of a duty under {profile.name} ({known})",
        )
    is_bound = basis is not None and basis.duty is ConnectionDuty.MANDATORY
    if is_bound and not reader.text("connect_due_date"):
        reader.note(
            "connect_due_date",
            "due_date_missing",
            "有接入义务的行必须填写应接入日期",
            "a row with a duty to connect needs its due date",
        )
    if due_on is not None and profile is not None and not is_bound and (basis or not text):
        reader.note(
            "connect_due_date",
            "due_date_without_duty",
            "没有接入义务依据的行不应有应接入日期",
            "a due date needs a basis that is a duty to connect",
        )
    return (basis.requirement if basis else None), due_on, is_bound


def _device(reader: _Cells) -> tuple[GbId | None, str | None, str | None]:
    gb_id: GbId | None = None
    mac = serial = None
    try:
        gb_id = read_gb_id(reader.text("gb_id"))
    except CellProblem as problem:
        reader.note_problem("gb_id", problem)
    try:
        mac = read_mac(reader.text("mac"))
    except CellProblem as problem:
        reader.note_problem("mac", problem)
    try:
        serial = read_serial(reader.text("serial"))
    except CellProblem as problem:
        reader.note_problem("serial", problem)
    return gb_id, mac, serial


@dataclass(frozen=True, slots=True)
class _Address:
    host: str | None = None
    port: int | None = None
    rtsp_path: str | None = None
    credential_ref: str | None = None
    is_attested: bool = False


def _address(reader: _Cells) -> _Address:
    values: dict[str, object] = {}
    for column, read in (
        ("host", read_host),
        ("port", read_port),
        ("rtsp_path", read_rtsp_path),
        ("credential_ref", read_credential_ref),
        ("address_attested", read_attested),
    ):
        try:
            values[column] = read(reader.text(column))
        except CellProblem as problem:
            reader.note_problem(column, problem)
            return _Address()
    return _complete_address(reader, values)


def _complete_address(reader: _Cells, values: Mapping[str, object]) -> _Address:
    host, port, path = values["host"], values["port"], values["rtsp_path"]
    reference, is_attested = values["credential_ref"], values["address_attested"] is True
    if host is None:
        for column in ("port", "rtsp_path", "credential_ref"):
            if values[column] is not None:
                reader.note(column, "host_missing", "缺少主机地址", "needs a host in the same row")
    if is_attested and host is None:
        reader.note(
            "address_attested",
            "attested_without_address",
            "确认地址需要主机地址",
            "attesting an address needs host",
        )
    if is_attested and path is None and port == RTSP_PORT:
        reader.note(
            "address_attested",
            "attested_without_address",
            "确认RTSP地址需要RTSP路径；由ONVIF得知路径时请不填端口",
            "attesting an RTSP address needs rtsp_path; leave the port out when ONVIF shall tell the path",
        )
    usual_port = ONVIF_PORT if is_attested and path is None else RTSP_PORT
    return _Address(
        host=host if isinstance(host, str) else None,
        port=port if isinstance(port, int) else usual_port if host else None,
        rtsp_path=path if isinstance(path, str) else None,
        credential_ref=reference if isinstance(reference, str) else None,
        is_attested=is_attested,
    )


def _row_key(
    place: tuple[str, str, str], address: _Address, mac: str | None, serial: str | None
) -> str | None:
    path = address.rtsp_path or ""
    if mac:
        device = ("mac", mac, path)
    elif serial:
        device = ("serial", serial.casefold(), path)
    elif address.host:
        device = ("address", f"{address.host} {address.port}", path)
    else:
        return None
    text = "\0".join((*(unicodedata.normalize("NFKC", name).casefold() for name in place), *device))
    return ROW_KEY + hashlib.sha256(text.encode()).hexdigest()[:32]
