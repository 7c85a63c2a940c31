"""Reads single cells of the roll: codes, addresses, dates. Strict, and silent about what could be a secret."""

import ipaddress
import re
import unicodedata
from datetime import date
from typing import Final

from catalog.model.codes import GbId
from catalog.roll_problem import quoted

MAX_NAME: Final = 200
MAX_PATH: Final = 512
MAX_SERIAL: Final = 64
MAX_HOST: Final = 253

_EXPONENT: Final = re.compile(r"[0-9](\.[0-9]+)?[eE]\+?[0-9]{1,3}")
_DATE: Final = re.compile(r"([0-9]{4})(?:-|/|\.|年)([0-9]{1,2})(?:-|/|\.|月)([0-9]{1,2})日?")
_COMPACT_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_HOST_NAME: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?",
    re.IGNORECASE,
)
_MAC: Final = re.compile(r"[0-9a-f]{12}")
_PATH: Final = re.compile(r"/[!-~]*")
# Some makers' paths carry user and password, e.g. /user=…_password=…_channel=1.sdp or ?auth=…
_CREDENTIAL_IN_PATH: Final = re.compile(
    r"://|^//|:[^/]*@|(?:^|[/?&;_,])(?:user(?:name)?|usr|login|pass(?:word|wd)?|pwd|auth|token)=",
    re.IGNORECASE,
)
_LOGIN_IN_URL: Final = re.compile(r"://[^/?#]*@")
_CREDENTIAL_REF: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SERIAL: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_YES: Final = frozenset({"yes", "y", "true", "1", "是", "已确认"})
_NO: Final = frozenset({"", "no", "n", "false", "0", "否", "未确认"})

_DIGITS_LOST: Final = (
    "digits_lost",
    "表格软件已把编码变成数字，后面的位数丢失；请把该列设为文本格式并重新填写",
    "the spreadsheet turned the code into a number and its last digits are lost: "
    "format the column as text and enter it again",
)


class CellProblem(ValueError):
    """Raised when a cell does not hold what its column asks for.

    Attributes:
        code: one stable word.
        message: in Chinese and in English; never repeats an address, path or credential.
    """

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(en)
        self.code = code
        self.message = (zh, en)


def holds_credentials(path: str) -> bool:
    """Tell whether the path of an RTSP URL carries a user or password, or is a whole URL."""
    return _CREDENTIAL_IN_PATH.search(path) is not None


def _refuse_login(text: str) -> None:
    """Refuse a URL with a login that got into the wrong column: names are published, serial numbers shown."""
    if _LOGIN_IN_URL.search(text):
        raise CellProblem(
            "login_in_cell",
            "含有带用户名或密码的网址；凭据请用「凭据引用」",
            "holds a URL with user or password; name the credential in credential_ref",
        )


def read_name(text: str) -> str:
    """Read a name: one line, blanks collapsed, `MAX_NAME` characters at most, no URL with a login in it."""
    _refuse_login(text)
    name = unicodedata.normalize("NFC", " ".join(text.split(" ")))
    name = " ".join(part for part in name.split(" ") if part)
    if len(name) > MAX_NAME:
        raise CellProblem("too_long", f"超过 {MAX_NAME} 个字符", f"is longer than {MAX_NAME} characters")
    if any(unicodedata.category(character)[0] == "C" for character in name):
        raise CellProblem(
            "control_character", "含有换行或控制字符", "holds a line break or control character"
        )
    return name


def read_gb_id(text: str) -> GbId | None:
    """Read a 20-digit code of something that can deliver video; empty gives None."""
    if not text:
        return None
    if _EXPONENT.fullmatch(text):
        raise CellProblem(*_DIGITS_LOST)
    try:
        gb_id = GbId.parse(text)
    except ValueError as error:
        raise CellProblem("gb_id_invalid", f"国标编码无效：{error}", str(error)) from error
    if not gb_id.may_deliver_video:
        raise CellProblem(
            "gb_id_not_a_source",
            f"类型码 {gb_id.type}（第 11-13 位）不是视频设备或通道",
            f"type {gb_id.type} (positions 11-13) is no video device or channel",
        )
    return gb_id


def read_host(text: str) -> str | None:
    """Read an IP address or a host name; empty gives None."""
    if not text:
        return None
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if len(text) > MAX_HOST or not _HOST_NAME.fullmatch(text):
            raise CellProblem(
                "host_invalid",
                "应为 IP 地址或主机名，不带协议、端口、用户名",
                "is no IP address or host name (without scheme, port or user)",
            ) from None
        return text.rstrip(".").lower()
    if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
        raise CellProblem("host_invalid", "不是单个设备的地址", "is not the address of a single device")
    return str(address)


def read_port(text: str) -> int | None:
    """Read a TCP port; empty gives None."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65_535):
        raise CellProblem("port_invalid", "应为 1 到 65535 的整数", "is no port from 1 to 65535")
    return int(text)


def read_rtsp_path(text: str) -> str | None:
    """Read the path of an RTSP URL, its query included; empty gives None.

    Credentials inside are refused: they belong into the vault, under `credential_ref`.
    """
    if not text:
        return None
    if holds_credentials(text):
        raise CellProblem(
            "path_with_credentials",
            "只填路径（以 / 开头），不得含用户名、密码或完整 URL；凭据请用「凭据引用」",
            "give the path alone, beginning with /: no user, password or whole URL; "
            "name the credential in credential_ref",
        )
    if len(text) > MAX_PATH or not _PATH.fullmatch(text):
        raise CellProblem(
            "path_invalid",
            f"应以 / 开头，不含空格和非 ASCII 字符，最长 {MAX_PATH}",
            f"must begin with /, without blanks or non-ASCII characters, {MAX_PATH} at most",
        )
    return text


def read_mac(text: str) -> str | None:
    """Read a MAC address in any usual spelling; empty gives None."""
    if not text:
        return None
    digits = re.sub(r"[:.\-\s]", "", text).lower()
    if not _MAC.fullmatch(digits) or digits in {"0" * 12, "f" * 12} or int(digits[:2], 16) & 1:
        raise CellProblem(
            "mac_invalid",
            "应为 12 位十六进制的设备 MAC 地址",
            "is no MAC address of a device (12 hexadecimal digits)",
        )
    return ":".join(digits[index : index + 2] for index in range(0, 12, 2))


def read_serial(text: str) -> str | None:
    """Read a serial number; empty gives None."""
    if not text:
        return None
    _refuse_login(text)
    if _EXPONENT.fullmatch(text):
        raise CellProblem(*_DIGITS_LOST)
    if len(text) > MAX_SERIAL or not _SERIAL.fullmatch(text):
        raise CellProblem(
            "serial_invalid",
            f"应为最长 {MAX_SERIAL} 个 ASCII 字符",
            f"must be {MAX_SERIAL} ASCII characters at most",
        )
    return text


def read_credential_ref(text: str) -> str | None:
    """Read the name of a credential; empty gives None. The text is never repeated: it may be a password."""
    if not text:
        return None
    if not _CREDENTIAL_REF.fullmatch(text):
        raise CellProblem(
            "credential_ref_invalid",
            "只填凭据的名称：字母、数字、点、下划线、连字符，最长 64；不要填密码",
            "give the name of a credential: letters, digits, dot, underscore, hyphen, 64 at most; no password",
        )
    return text


def read_date(text: str) -> date | None:
    """Read a day (2026-06-30, 2026/6/30, 2026年6月30日, 20260630); empty gives None."""
    if not text:
        return None
    match = _DATE.fullmatch(text) or _COMPACT_DATE.fullmatch(text)
    if match is not None:
        try:
            day = date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError:
            pass
        else:
            if 2000 <= day.year <= 2100:
                return day
    raise CellProblem(
        "date_invalid",
        f"{quoted(text)} 不是日期（如 2026-06-30）",
        f"{quoted(text)} is no date such as 2026-06-30",
    )


def read_attested(text: str) -> bool:
    """Read yes or no (是, 否); empty is no."""
    answer = text.casefold()
    if answer in _YES:
        return True
    if answer in _NO:
        return False
    raise CellProblem("yes_no_invalid", "应为「是」或「否」", "must be yes or no")
