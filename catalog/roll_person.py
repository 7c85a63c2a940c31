"""Guards the promise that no natural person's name is published: asks where a unit's name looks like one.

A guess only decides that the author of the roll must say what the unit is; it never decides what it is.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class UnitKind(StrEnum):
    """Who a unit is; the words of the schema."""

    ORGANISATION = "organisation"
    NATURAL_PERSON = "natural_person"
    """Also a one-person business, whose name is a person's: never named to the public."""


UNIT_KINDS: Final[Mapping[str, UnitKind]] = MappingProxyType(
    {
        "organisation": UnitKind.ORGANISATION,
        "organization": UnitKind.ORGANISATION,
        "单位": UnitKind.ORGANISATION,
        "组织": UnitKind.ORGANISATION,
        "法人": UnitKind.ORGANISATION,
        "naturalperson": UnitKind.NATURAL_PERSON,
        "individual": UnitKind.NATURAL_PERSON,
        "自然人": UnitKind.NATURAL_PERSON,
        "个人": UnitKind.NATURAL_PERSON,
        "个体工商户": UnitKind.NATURAL_PERSON,
    }
)
"""How a file may say it, in lower case without blanks and underscores."""

# The hundred most frequent family names cover some 85 % of people; the rest is the author's care.
_FAMILY_NAMES: Final = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
    "姚卢姜崔钟谭陆汪范金石廖贾夏韦付傅方白邹孟熊秦邱江尹薛闫阎段雷侯龙史陶黎贺顾毛郝龚邵万钱严覃武戴莫孔向汤"
)
# How the short name of an organisation ends.
_ORGANISATION_ENDINGS: Final = frozenset(
    "局院校厂店站所馆部处委司心行场园社会队办府组厅署库城厦楼苑区村镇乡街道路桥港铺坊庄寺观宫庙堂段台网吧团室科股学关"
)
_LONGEST_PERSON: Final = 4
_SHORTEST_PERSON: Final = 2


def looks_like_a_person(name: str) -> bool:
    """Say whether a Chinese name of 2 to 4 characters reads like a person's."""
    bare = name.replace("·", "").replace(" ", "")
    return (
        _SHORTEST_PERSON <= len(bare) <= _LONGEST_PERSON
        and all("一" <= character <= "鿿" for character in bare)
        and bare[0] in _FAMILY_NAMES
        and bare[-1] not in _ORGANISATION_ENDINGS
    )
