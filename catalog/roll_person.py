"""Guards the promise that no natural person's name is published: asks where a unit's name looks like one.

A guess only decides that the author of the roll must say what the unit is; it never decides what it is.
"""

from typing import Final

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
