"""Writes the sample roll beside it: `python deploy/sample/make_roll.py`. Standard library only, same bytes every time.

Everything in it is invented. The district 滨河区 of 示范市 has the administrative code 990102: no province of
GB/T 2260 begins with 99, so no code of the sample can belong to a real place or a real device. Addresses are of the
documentation ranges (RFC 5737), MAC addresses locally administered. The first two cameras are the ones that the
trial plays on this machine; theirs are the only addresses that anybody attested.
"""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

DISTRICT = "990102"
LISTED = "WX-21.3"
HEADINGS = (
    "单位",
    "系统",
    "场所",
    "场所类别",
    "位置类型",
    "行政区划代码",
    "国标编码",
    "主机地址",
    "端口",
    "RTSP路径",
    "MAC地址",
    "序列号",
    "凭据引用",
    "应接入日期",
    "依据",
    "地址已确认",
    "单位性质",
)


class Place(NamedTuple):
    """One site of the sample."""

    unit: str
    site: str
    place_class: str
    industry: str
    """Positions 9-10 of the 20-digit code (GB/T 28181-2022, Annex E)."""
    due_on: date
    basis: str
    locations: tuple[str, ...]
    """One camera for each."""
    maker: int
    """Which maker's path and numbering the devices follow."""
    is_person: bool = False


PLACES = """
滨河区图书馆|滨河区图书馆主楼|WX8_01|11|2026-06-30|WX-21.3|大厅|0
滨河区体育公园管理中心|滨河区体育公园|WX8_07|08|2026-09-30|WX-21.3|公园绿地|0
滨河区图书馆|滨河区图书馆少儿分馆|WX8_01|11|2026-06-30|WX-21.3|出入口 大厅 走廊、通道|1
滨河区体育公园管理中心|滨河区体育馆|WX8_07|08|2026-09-30|WX-21.3|出入口 看台 运动场地 停车场（库）|1
滨河区实验小学|实验小学本部|WX8_01|11|2026-08-31|WX-21.3|大门 学校操场 走廊、通道 楼梯间 周界|0
滨河区第一中学|第一中学|WX8_01|11|2026-08-31|WX-21.3|大门 学校操场 走廊、通道 周界|2
滨河区幼教中心|滨河区中心幼儿园|WX8_01|11|2026-08-31|WX-21.3|大门 学校操场 周界|0
滨河区人民医院|人民医院门诊楼|WX8_01|09|2026-05-31|WX-21.3|出入口 大厅 候车、候诊、等候区 电梯轿厢 营业、服务窗口外侧|1
滨河区人民医院|人民医院住院楼|WX8_01|09|2026-05-31|WX-21.3|出入口 走廊、通道 停车场（库）|1
滨河区博物馆|滨河区博物馆|WX8_01|11|2026-10-31|WX-21.3|出入口 大厅 重点部位|2
滨河区政务服务中心|政务服务大厅|WX8_01|08|2026-03-31|WX-21.3|出入口 大厅 营业、服务窗口外侧|0
滨河自来水有限公司|滨河第一水厂|WX8_02|03|2026-06-30|WX-21.3|大门 周界 重点部位|1
滨河自来水有限公司|城南加压泵站|WX8_02|03|2026-06-30|WX-21.3|大门 周界|1
滨河燃气有限公司|城北储配站|WX8_02|03|2026-06-30|WX-21.3|大门 周界 重点部位|2
滨河石油销售有限公司|河东加油站|WX8_02|03|2026-04-30|WX-21.3|出入口 加油加气作业区|0
滨河石油销售有限公司|河西加油站|WX8_02|03|2026-04-30|WX-21.3|出入口 加油加气作业区|0
滨河民用爆破器材有限公司|滨河民爆器材库|WX8_03|03|2026-02-28|WX-21.3|大门 周界 仓库通道|2
滨河化工原料有限公司|滨河化工原料仓库|WX8_03|03|2026-02-28|WX-21.3|大门 仓库通道 装卸区|1
滨河农村商业银行|农商银行滨河支行|WX8_04|02|2026-01-31|WX-21.3|出入口 大厅 营业、服务窗口外侧|2
滨河农村商业银行|农商银行河东支行|WX8_04|02|2026-01-31|WX-21.3|出入口 营业、服务窗口外侧|2
滨河黄金珠宝有限公司|滨河黄金珠宝城|WX8_04|02|2026-07-31|WX-21.3|出入口 营业区|0
滨河区交通运输局|滨河汽车客运站|WX8_05|04|2026-06-30|WX-21.2|出入口 候车、候诊、等候区 站台 停车场（库）|0
滨河区交通运输局|滨河客运码头|WX8_05|14|2026-06-30|WX-21.2|出入口 码头 候车、候诊、等候区|1
滨河公共交通有限公司|公交城南枢纽站|WX8_05|04|2026-12-31|WX-21.3|出入口 站台 停车场（库）|1
滨河区城市管理局|滨河大道|WX8_06|08|2026-03-31|WX-21.2|路口 路口 道路 道路 道路|0
滨河区城市管理局|解放路|WX8_06|08|2026-03-31|WX-21.2|路口 道路 道路|0
滨河区住房和城乡建设局|滨河大桥|WX8_06|08|2026-05-31|WX-21.2|桥梁 桥梁 道路|2
滨河区住房和城乡建设局|河底隧道|WX8_06|08|2026-05-31|WX-21.2|隧道 隧道 出入口|2
滨河区住房和城乡建设局|站前人行过街通道|WX8_06|08|2027-01-31|WX-21.2|人行过街通道 出入口|1
滨河区水务局|清河堤岸城区段|WX8_06|08|2027-03-31|WX-21.3|江河湖岸 江河湖岸|1
滨河万象商业管理有限公司|万象购物中心|WX8_07|03|2026-07-31|WX-21.3|出入口 出入口 大厅 营业区 电梯轿厢 停车场（库）|0
滨河商业街管理委员会|沿河商业街|WX8_07|03|2026-07-31|WX-21.3|道路 道路 出入口|1
滨河农产品市场有限公司|城南农贸市场|WX8_07|03|2026-10-31|WX-21.3|出入口 市场交易区 装卸区|2
滨河区市政园林局|市民广场|WX8_07|08|2026-04-30|WX-21.2|广场 广场 出入口|0
滨河区市政园林局|清河湿地公园|WX8_07|08|2026-04-30|WX-21.2|出入口 公园绿地 江河湖岸|1
滨河会展有限公司|滨河会展中心|WX8_07|03|2027-06-30|WX-21.3|出入口 公共活动大厅 装卸区|2
滨河速运有限公司|城北分拨中心|WX8_08|03|2026-09-30|WX-21.3|大门 装卸区 仓库通道|1
滨河速运有限公司|河西营业部|WX8_08|03|2026-09-30|WX-21.3|营业、服务窗口外侧|1
星海网络服务有限公司|星海网咖|WX8_08|03|2026-08-31|WX-21.3|出入口 公共活动大厅|0
滨河影城有限公司|滨河影城|WX8_08|03|2026-12-31|WX-21.3|出入口 大厅 走廊、通道|2
清河印章刻制经营部|清河印章店|WX8_08|03|2026-08-31|WX-21.3|营业区|0|个人
滨河宾馆有限公司|滨河宾馆|WX8_08|03|2026-10-31|WX-21.3|出入口 大厅 走廊、通道 停车场（库）|1
河畔花园业主委员会|河畔花园小区|WX8_09|01|2026-11-30|WX-21.3|大门 住宅小区公共部位 住宅小区公共部位 停车场（库）|0
清水湾物业服务有限公司|清水湾小区|WX8_09|01|2026-10-31|WX-21.3|大门 住宅小区公共部位 停车场（库）|1
城南物业服务有限公司|城南新村|WX8_09|01|2026-10-31|WX-21.3|大门 大门 住宅小区公共部位|2
滨河静态交通有限公司|站前公共停车场|WX8_09|04|2026-06-30|WX-21.3|出入口 停车场（库） 停车场（库）|0
滨河区应急管理局|东湖应急避难场所|WX8_09|08|2026-05-31|WX-21.2|出入口 应急疏散场地|1
滨河产业园管理有限公司|滨河产业园|WX8_10|03|2026-09-30|WX-21.3|大门 周界 道路|2
"""
"""Unit, site, class, industry, due date, basis, locations, maker, and 个人 where the unit is a natural person."""

REPEATED = ("沿河", "城东", "城西", "东湖", "南桥", "北苑", "柳岸", "平桥")
"""Neighbourhoods: each has a square, a market and a health centre of the same kind."""


def all_places() -> Iterator[Place]:
    """Yield the places above, then the same kinds of place in each neighbourhood."""
    for line in PLACES.strip().splitlines():
        unit, site, place_class, industry, due_on, basis, locations, maker, *kind = line.split("|")
        yield Place(
            unit,
            site,
            place_class,
            industry,
            date.fromisoformat(due_on),
            basis,
            tuple(locations.split()),
            int(maker),
            bool(kind),
        )
    for number, name in enumerate(REPEATED):
        due = (date(2026, 7, 31), date(2026, 10, 31), date(2027, 2, 28))[number % 3]
        yield Place(
            f"{name}社区居民委员会",
            f"{name}社区广场",
            "WX8_07",
            "01",
            due,
            LISTED,
            ("广场", "出入口"),
            number % 3,
        )
        yield Place(
            f"{name}农贸市场有限公司",
            f"{name}农贸市场",
            "WX8_07",
            "03",
            due,
            LISTED,
            ("出入口", "市场交易区", "装卸区"),
            (number + 1) % 3,
        )
        yield Place(
            f"{name}卫生服务中心",
            f"{name}卫生服务中心",
            "WX8_01",
            "09",
            due,
            LISTED,
            ("出入口", "候车、候诊、等候区"),
            (number + 2) % 3,
        )


def path_of(maker: int, channel: int) -> str:
    """The main stream's path as three common makers write it."""
    return (
        f"/Streaming/Channels/{channel}01",
        f"/cam/realmonitor?channel={channel}&subtype=0",
        f"/media/video{channel}",
    )[maker]


def rows() -> Iterator[tuple[str, ...]]:
    """Yield one row a camera; the channels of one site share a recorder's address."""
    serial = 0
    for number, place in enumerate(all_places()):
        is_trial = number < 2
        recorder = f"{('192.0.2', '198.51.100', '203.0.113')[number % 3]}.{10 + number}"
        system = f"{place.site}视频图像信息系统"
        for channel, location in enumerate(place.locations, start=1):
            serial += 1
            # Now and then the roll does not know something: a code not yet given, a place not yet attested.
            has_code = is_trial or serial % 29 != 0
            has_address = is_trial or serial % 7 != 0
            yield (
                place.unit,
                system,
                place.site,
                place.place_class,
                location if is_trial or serial % 31 else "",
                DISTRICT,
                f"{DISTRICT}00{place.industry}{'132' if len(place.locations) == 1 else '131'}7{serial:06d}"
                if has_code
                else "",
                "127.0.0.1" if is_trial else recorder if has_address else "",
                str(18554 + number) if is_trial else "554" if has_address else "",
                f"/camera-{number + 1}" if is_trial else path_of(place.maker, channel) if has_address else "",
                "" if is_trial else f"02:00:00:00:{serial >> 8:02X}:{serial & 255:02X}",
                "" if is_trial else f"BH{place.maker}{2026_0000 + serial}",
                "trial-camera-1" if number == 0 else "",
                place.due_on.isoformat(),
                place.basis,
                "是" if is_trial else "否",
                "个人" if place.is_person else "单位",
            )


def main() -> None:
    """Write roll.csv beside this file: UTF-8 with BOM, so that spreadsheets open it too."""
    with Path(__file__).with_name("roll.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADINGS)
        writer.writerows(rows())


if __name__ == "__main__":
    main()
