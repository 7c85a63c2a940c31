"""Which source of the roll a sighting is: ranked rules, each with its reason in words.

The first rule that fits any source decides. An identity (code, MAC, serial number) or an address that a person
attested decides alone; an address by itself only proposes, because addresses are re-used and a proposal costs
one look while a mistake costs another camera's picture (promise 5). So does an identity that a device only claims:
whoever can send a datagram could claim another's, and would be sent its password's digest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from catalog.model.profile import Bilingual
from catalog.model.sighting import Protocol, Sighting

MIN_SERIAL: Final = 4
"""Characters: shorter serial numbers are placeholders of the maker."""

_NAMED: Final = 5
_EMPTY_MACS: Final = frozenset({"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"})


class Rule(StrEnum):
    """Why a sighting is taken for a source, the strongest first."""

    GB_ID = "gb_id"
    MAC = "mac"
    SERIAL = "serial"
    ATTESTED_ADDRESS = "attested_address"
    "Protocol, host and port of an endpoint that a person confirmed."
    ATTESTED_HOST = "attested_host"
    "An ONVIF device at the host of an endpoint that a person confirmed for this source."
    ADDRESS = "address"
    "Protocol, host and port as the roll or an operator wrote them, not attested."
    HOST = "host"
    "The same host on another port or protocol."


@dataclass(frozen=True, slots=True)
class RollAddress:
    """One endpoint of a source as the catalog holds it."""

    protocol: Protocol
    host: str
    port: int
    path: str
    is_attested: bool
    "Whether a person confirmed that this address is this source."


@dataclass(frozen=True, slots=True)
class Candidate:
    """A source of the roll that a sighting may be."""

    source_id: int
    label: str
    "What an operator knows it by."
    gb_id: str | None = None
    mac: str | None = None
    "Lower-case, colon separated."
    serial: str | None = None
    addresses: tuple[RollAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """What a sighting was taken for, and why."""

    source_id: int | None
    """The source; None where several fit: they stand in `candidates`."""
    rule: Rule
    reason: Bilingual
    needs_confirmation: bool
    candidates: tuple[int, ...]
    "Every source that fits by `rule`, ascending; several without a need for confirmation are a recorder's channels."


def _fits_serial(sighting: Sighting, candidate: Candidate) -> bool:
    serial = sighting.serial
    if serial is None or len(serial) < MIN_SERIAL or len(set(serial)) == 1:
        return False
    return serial == candidate.serial


def _at(sighting: Sighting, address: RollAddress) -> bool:
    here = (sighting.protocol, sighting.host, sighting.port)
    return (address.protocol, address.host, address.port) == here


def _at_attested_host(sighting: Sighting, candidate: Candidate) -> bool:
    # ONVIF alone: one camera has its device service and its streams on different ports of one address.
    return sighting.protocol is Protocol.ONVIF and any(
        address.is_attested and address.host == sighting.host for address in candidate.addresses
    )


RULES: Final[Mapping[Rule, Callable[[Sighting, Candidate], bool]]] = MappingProxyType(
    {
        Rule.GB_ID: lambda seen, of: seen.gb_id is not None and seen.gb_id == of.gb_id,
        Rule.MAC: lambda seen, of: (
            seen.mac is not None and seen.mac not in _EMPTY_MACS and seen.mac == of.mac
        ),
        Rule.SERIAL: _fits_serial,
        Rule.ATTESTED_ADDRESS: lambda seen, of: any(a.is_attested and _at(seen, a) for a in of.addresses),
        Rule.ATTESTED_HOST: _at_attested_host,
        Rule.ADDRESS: lambda seen, of: any(_at(seen, a) for a in of.addresses),
        Rule.HOST: lambda seen, of: any(a.host == seen.host for a in of.addresses),
    }
)
"""The rules in their order of rank."""

_PROPOSALS: Final = frozenset({Rule.ADDRESS, Rule.HOST})
_IDENTITIES: Final = frozenset({Rule.GB_ID, Rule.MAC, Rule.SERIAL})
_SAYS: Final[Mapping[Rule, tuple[str, str]]] = MappingProxyType(
    {
        Rule.GB_ID: ("国标编码与名册一致", "its GB/T 28181 code is in the roll"),
        Rule.MAC: ("MAC 地址与名册一致", "its MAC address is in the roll"),
        Rule.SERIAL: ("序列号与名册一致", "its serial number is in the roll"),
        Rule.ATTESTED_ADDRESS: ("地址已由人员确认", "a person attested this address"),
        Rule.ATTESTED_HOST: (
            "该主机地址已由人员确认，设备服务在另一端口",
            "a person attested this host, and this is its ONVIF service",
        ),
        Rule.ADDRESS: ("地址与名册一致，但未经确认", "its address is in the roll, but nobody attested it"),
        Rule.HOST: (
            "主机与名册一致，端口或协议不同",
            "its host is in the roll with another port or protocol",
        ),
    }
)


def match(sighting: Sighting, candidates: Sequence[Candidate]) -> Match | None:
    """Return which source `sighting` is, or None where no rule fits: then it belongs into quarantine.

    The result does not depend on the order of `candidates`. Confirmation is needed when the rule only
    proposes, when several sources fit it, or when another fact speaks against it (a different MAC at an
    attested address is an exchanged device). One exception: several sources attested at one address under
    different paths are the channels of one recorder, and what was seen is that recorder.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.source_id)
    for rule in _ranked(sighting):
        winners = [candidate for candidate in ordered if RULES[rule](sighting, candidate)]
        if winners:
            return _decide(sighting, rule, winners, ordered)
    return None


def _ranked(sighting: Sighting) -> list[Rule]:
    """Return the rules in the order that counts for `sighting`: what is only claimed comes after what was attested."""
    if not sighting.is_claimed:
        return list(RULES)
    return [rule for rule in RULES if rule not in _IDENTITIES | _PROPOSALS] + [
        rule for rule in RULES if rule in _IDENTITIES | _PROPOSALS
    ]


def _decide(sighting: Sighting, rule: Rule, winners: list[Candidate], ordered: list[Candidate]) -> Match:
    doubts = [doubt for winner in winners for doubt in _doubts(sighting, rule, winner, ordered)]
    is_recorder = rule is Rule.ATTESTED_ADDRESS and len(winners) > 1 and _paths_differ(sighting, winners)
    zh, en = _SAYS[rule]
    zh, en = f"{zh}：{_names(winners, '、')}", f"{en}: {_names(winners, ', ')}"
    if len(winners) > 1 and is_recorder:
        zh, en = f"{zh}（同一录像设备的通道）", f"{en} (channels of one recorder)"
    elif len(winners) > 1:
        doubts.append(Bilingual("不止一个信源符合", "more than one source fits"))
    if rule in _IDENTITIES and sighting.is_claimed:
        doubts.append(Bilingual("标识为设备自称，未经验证", "the device only claims it in an announcement"))
    if rule in _PROPOSALS:
        doubts.append(Bilingual("仅凭地址不能认定", "an address alone proves nothing"))
    if doubts:
        zh = f"{zh}；{'；'.join(doubt.zh for doubt in doubts)}；须由操作员确认"
        en = f"{en}; {'; '.join(doubt.en for doubt in doubts)}; the operator must confirm"
    return Match(
        source_id=winners[0].source_id if len(winners) == 1 else None,
        rule=rule,
        reason=Bilingual(zh, en),
        needs_confirmation=bool(doubts),
        candidates=tuple(winner.source_id for winner in winners),
    )


def _doubts(sighting: Sighting, rule: Rule, winner: Candidate, ordered: list[Candidate]) -> list[Bilingual]:
    """Return what speaks against `winner` although `rule` fits it."""
    doubts = []
    for zh, en, seen, known in (
        ("国标编码", "GB/T 28181 code", sighting.gb_id, winner.gb_id),
        ("MAC 地址", "MAC address", sighting.mac, winner.mac),
        ("序列号", "serial number", sighting.serial, winner.serial),
    ):
        if seen is not None and known is not None and seen != known:
            doubts.append(
                Bilingual(f"{zh}与 {winner.label} 的登记不符", f"the {en} is not that of {winner.label}")
            )
    ranked = _ranked(sighting)
    later = ranked[ranked.index(rule) + 1 :]
    for other in later:
        if other in _PROPOSALS:
            continue
        fitting = [candidate for candidate in ordered if RULES[other](sighting, candidate)]
        if fitting and winner not in fitting:
            zh, en = _SAYS[other]
            doubts.append(Bilingual(f"但{zh}：{_names(fitting, '、')}", f"but {en}: {_names(fitting, ', ')}"))
    return doubts


def _paths_differ(sighting: Sighting, winners: list[Candidate]) -> bool:
    paths = [
        path
        for winner in winners
        for path in {a.path for a in winner.addresses if a.is_attested and _at(sighting, a)}
    ]
    return len(paths) == len(set(paths))


def _names(candidates: Sequence[Candidate], separator: str) -> str:
    names = [f"{candidate.label} (#{candidate.source_id})" for candidate in candidates[:_NAMED]]
    if len(candidates) > _NAMED:
        names.append(f"+{len(candidates) - _NAMED}")
    return separator.join(names)
