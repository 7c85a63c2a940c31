"""Errors of the API as RFC 9457 problem details; the table of codes is the whole vocabulary."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PROBLEM_TYPE: Final = "application/problem+json"


class Code(StrEnum):
    """Stable codes; a client decides by these, never by the text."""

    MALFORMED = "malformed"
    CURSOR_INVALID = "cursor_invalid"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    REGION_FORBIDDEN = "region_forbidden"
    PURPOSE_MISSING = "purpose_missing"
    CSRF = "csrf"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    MEDIA_TYPE = "media_type"
    INVALID = "invalid"
    REFUSED_BY_LAW = "refused_by_law"
    TOO_MANY = "too_many"
    INTERNAL = "internal"
    DATABASE_AWAY = "database_away"
    LOG_FULL = "log_full"
    NOT_RUNNING = "not_running"
    RELAY_LIMIT = "relay_limit"
    DEVICE_FAILED = "device_failed"


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    status: int
    zh: str
    en: str


KINDS: Final[Mapping[Code, Kind]] = {
    Code.MALFORMED: Kind(400, "请求格式错误", "The request cannot be read"),
    Code.CURSOR_INVALID: Kind(400, "分页游标无效", "The cursor is not one of this list"),
    Code.UNAUTHENTICATED: Kind(401, "需要有效的访问令牌", "A valid token is needed"),
    Code.FORBIDDEN: Kind(403, "该角色无此权限", "The role may not do this"),
    Code.REGION_FORBIDDEN: Kind(403, "超出授权行政区划", "Outside the region of the token"),
    Code.PURPOSE_MISSING: Kind(403, "必须说明查询用途", "A purpose must be stated"),
    Code.CSRF: Kind(403, "表单已过期，请刷新页面", "The form is out of date: load the page again"),
    Code.NOT_FOUND: Kind(404, "不存在", "There is no such thing"),
    Code.METHOD_NOT_ALLOWED: Kind(405, "不支持该方法", "The method is not allowed here"),
    Code.NOT_ACCEPTABLE: Kind(406, "不支持所要求的格式", "None of the formats asked for"),
    Code.CONFLICT: Kind(409, "与现有数据冲突", "It conflicts with what is there"),
    Code.TOO_LARGE: Kind(413, "请求内容过大", "The body is too large"),
    Code.MEDIA_TYPE: Kind(415, "不支持的内容类型", "The type of the body is not supported"),
    Code.INVALID: Kind(422, "内容不符合要求", "The content breaks a rule"),
    Code.REFUSED_BY_LAW: Kind(422, "法规禁止", "A provision forbids it"),
    Code.TOO_MANY: Kind(429, "请求过于频繁", "Too many requests"),
    Code.INTERNAL: Kind(500, "内部错误", "An error of ours"),
    Code.DATABASE_AWAY: Kind(503, "数据库暂不可用", "The database is away"),
    Code.LOG_FULL: Kind(503, "访问日志暂无法写入", "The access log cannot be written"),
    Code.NOT_RUNNING: Kind(503, "该功能当前未运行", "This part is not running"),
    Code.RELAY_LIMIT: Kind(503, "已达转发上限", "A limit of the relay is reached"),
    Code.DEVICE_FAILED: Kind(502, "设备未按要求应答", "The device did not do it"),
}


class Fault(BaseModel):
    """One wrong place of a request."""

    model_config = ConfigDict(frozen=True)

    pointer: str = Field(description="JSON pointer (RFC 6901) or name of the parameter.")
    detail: str


class LimitReached(BaseModel):
    """The limit that leaves no room, with its numbers: pulls, or bits a second."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="`pull_limit`, `bandwidth_limit` or `network_bandwidth_limit`.")
    setting: str = Field(description="The key in `[relay]` of the configuration.")
    most: int
    used: int
    asked: int
    network: str = Field(default="", description="The authorised network that is full; empty: the gateway.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="urn:muster:problem: and the code.")
    title: str
    status: int
    code: Code
    detail: str = ""
    instance: str = Field(default="", description="Path of the request.")
    errors: tuple[Fault, ...] = ()
    limit: LimitReached | None = Field(default=None, description="With `relay_limit` alone.")


class ApiProblem(Exception):
    """Raised by a handler to answer with a problem.

    Attributes:
        code: what is wrong.
        detail: a sentence for people; never holds a secret or what the caller sent as one.
        faults: the wrong places.
        retry_after: seconds after which trying again makes sense.
        limit: the limit of ours that is reached.
    """

    def __init__(
        self,
        code: Code,
        detail: str = "",
        *,
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
        limit: LimitReached | None = None,
    ) -> None:
        super().__init__(detail or code.value)
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
        self.retry_after = retry_after
        self.limit = limit


def invalid(error: ValidationError) -> ApiProblem:
    """Return the problem of a request that breaks its model; the values sent are not repeated."""
    faults = [
        Fault(pointer="/" + "/".join(str(part) for part in item["loc"]), detail=item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)[:50]
    ]
    return ApiProblem(Code.INVALID, faults[0].detail if faults else "", faults=faults)


def problem_response(problem: ApiProblem, *, instance: str = "", language: str = "zh") -> web.Response:
    """Render a problem.

    Args:
        problem: what is wrong.
        instance: path of the request, without its query.
        language: `zh` or `en`, of the title.
    """
    kind = KINDS[problem.code]
    body = Problem(
        type=f"urn:muster:problem:{problem.code.value}",
        title=kind.en if language == "en" else kind.zh,
        status=kind.status,
        code=problem.code,
        detail=problem.detail,
        instance=instance,
        errors=problem.faults,
        limit=problem.limit,
    )
    response = web.Response(
        status=kind.status,
        body=json.dumps(body.model_dump(mode="json", exclude_none=True), ensure_ascii=False).encode(),
        content_type=PROBLEM_TYPE,
    )
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(problem.retry_after)))
    if problem.code is Code.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="muster"'
    return response


def problem_of_http(error: web.HTTPException) -> ApiProblem:
    """Return the problem of an error that aiohttp raised itself."""
    codes = {
        404: Code.NOT_FOUND,
        405: Code.METHOD_NOT_ALLOWED,
        406: Code.NOT_ACCEPTABLE,
        413: Code.TOO_LARGE,
        415: Code.MEDIA_TYPE,
    }
    return ApiProblem(codes.get(error.status, Code.MALFORMED))
