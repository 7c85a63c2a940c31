"""The page's forms: the same verbs as the API, one row a form."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, datetime, time, timedelta
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from catalog.errors import CatalogError, DatabaseAway
from catalog.model.case import NEEDED, CaseStep
from catalog.model.network import NetworkRefused
from catalog.model.secret import Secret
from catalog.model.sighting_states import DecisionRefused
from catalog.reading import LOCAL
from gateway.api import case_acts, compliance_acts, dispute_acts, gb_acts, suspension_acts, verbs
from gateway.api.acting import roll_answer
from gateway.api.bodies import NetworkBody
from gateway.api.case_schemas import CaseStepBody
from gateway.api.compliance_schemas import AttestationBody
from gateway.api.dispatch import SCOPE, SERVICES, problem_of_catalog
from gateway.api.dispute_schemas import DisputeAnswerBody, DisputeBody
from gateway.api.gb_schemas import GbDeviceBody, GbDeviceChangeBody
from gateway.api.problem import KINDS, ApiProblem, Code, invalid
from gateway.api.reads import number_of
from gateway.api.receiving import in_time
from gateway.api.stored_report_schemas import MakeReportBody
from gateway.api.suspension_schemas import SuspensionActBody, SuspensionBody
from gateway.api.verbs import Acting
from gateway.console.messages import text, word
from gateway.console.pages import console_language, logged_in, require_own_origin
from gateway.console.sessions import Notice, Session

Fields = Mapping[str, str]
Body = TypeVar("Body", bound=BaseModel)

_ROOM: Final = 65_536
_MINUTES: Final = {
    "starts_at": "window_from",
    "ends_at": "window_until",
    "running_from": "running_from",
    "running_until": "running_until",
}
"""Fields that hold a local minute, and what they are called on the page."""


class Form:
    """A form as it came: text fields, and the file of a roll."""

    def __init__(self, fields: Fields, file: bytes = b"") -> None:
        self.fields = fields
        self.file = file

    def number(self, name: str) -> int:
        """Return a number; raises `ApiProblem`."""
        return number_of(self.fields.get(name, "").strip())

    def text(self, name: str) -> str:
        """Return a text without the space around it."""
        return self.fields.get(name, "").strip()

    def is_on(self, name: str) -> bool:
        """Tell whether a box is ticked."""
        return bool(self.fields.get(name))

    def instant(self, name: str, language: str) -> datetime:
        """Return a local minute; raises `ApiProblem`."""
        try:
            return datetime.fromisoformat(self.text(name)).replace(tzinfo=LOCAL)
        except ValueError as error:
            raise ApiProblem(Code.INVALID, text(_MINUTES[name], language)) from error

    def day(self, name: str) -> date | None:
        """Return a day, None where none is given; raises `ApiProblem`."""
        try:
            return date.fromisoformat(self.text(name)) if self.text(name) else None
        except ValueError as error:
            raise ApiProblem(Code.INVALID, name) from error


async def _confirm(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.confirm_sighting(acting, form.number("sighting_id"), form.text("path") or None)
    return Notice(is_good=True, text=text("done.confirm", language))


async def _accept(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.accept_sighting(
        acting, form.number("sighting_id"), form.number("source_id"), form.text("path") or None
    )
    return Notice(is_good=True, text=text("done.accept", language))


async def _refuse(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.refuse_sighting(acting, form.number("sighting_id"), form.text("reason"))
    return Notice(is_good=True, text=text("done.refuse", language))


async def _authorise(acting: Acting, form: Form, language: str) -> Notice:
    last = form.day("expires_on")
    if last is None:
        raise ApiProblem(Code.INVALID, text("expires", language))
    # Valid to the end of the last local day.
    end = datetime.combine(last + timedelta(days=1), time(), LOCAL)
    try:
        body = NetworkBody(
            cidr=form.text("cidr"),
            document=form.text("document"),
            approver=form.text("approver"),
            expires_at=end,
        )
    except ValidationError as error:
        raise invalid(error) from error
    await verbs.authorise_network(acting, body)
    return Notice(is_good=True, text=text("done.authorise", language))


async def _revoke(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.revoke_network(acting, form.number("network_id"))
    return Notice(is_good=True, text=text("done.revoke", language))


async def _sweep(acting: Acting, form: Form, language: str) -> Notice:
    words = [word for word in form.text("ports").replace("，", ",").split(",") if word.strip()]
    if not all(word.strip().isdecimal() and len(word.strip()) <= 5 for word in words):
        raise ApiProblem(Code.INVALID, text("ports", language))
    ports = tuple(int(word) for word in words) or None
    run_id = await verbs.start_sweep(acting, form.text("cidr"), ports)
    return Notice(is_good=True, text=f"{text('done.sweep', language)}: {run_id}")


async def _stop(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.stop_sweep(acting, form.number("run_id"))
    return Notice(is_good=True, text=text("done.stop", language))


async def _relay(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.start_relay(acting, form.number("source_id"))
    return Notice(is_good=True, text=text("done.relay", language))


async def _play(acting: Acting, form: Form, language: str) -> Notice:
    look = await verbs.play_source(acting, form.number("source_id"), form.text("purpose"))
    lines = (
        *look.addresses,
        f"{text('username', language)}: {look.grant.username}",
        f"{text('password', language)}: {look.grant.password.reveal()}",
    )
    return Notice(is_good=True, text=text("done.play", language), lines=lines)


async def _interrogate(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.interrogate(acting, form.number("source_id"))
    return Notice(is_good=True, text=text("done.interrogate", language))


async def _import(acting: Acting, form: Form, language: str) -> Notice:
    dry_run = form.is_on("dry_run")
    difference = await verbs.import_roll(
        acting, form.file, dry_run=dry_run, allow_mass_retirement=form.is_on("mass_retirement")
    )
    answer = roll_answer(difference, dry_run=dry_run)
    names = ("added", "changed", "retired", "unchanged", "rejected")
    figures = ", ".join(f"{text(name, language)} {getattr(answer, name)}" for name in names)
    ending = f" ({text('would', language)})" if dry_run else ""
    return Notice(is_good=True, text=f"{text('done.import', language)}{ending}: {figures}")


async def _publish(acting: Acting, form: Form, language: str) -> Notice:
    dry_run = form.is_on("dry_run")
    published = await verbs.publish(acting, effective_from=form.day("effective_from"), dry_run=dry_run)
    number = published.edition.number if published.edition is not None else text("would", language)
    figures = (
        f"{text('entries', language)} {len(published.draft.entries)}, "
        f"{text('withheld', language)} {len(published.draft.withheld)}"
    )
    return Notice(is_good=True, text=f"{text('done.publish', language)} {number}: {figures}")


async def _propose(acting: Acting, form: Form, language: str) -> Notice:
    number, found = await verbs.propose_edition(acting, form.day("effective_from"))
    names = ("entries", "natural_persons", "sensitive", "future_due")
    lines = [f"{text(name, language)}: {getattr(found, name)}" for name in names]
    lines += [f"{text('withheld', language)} ({reason}): {count}" for reason, count in found.withheld.items()]
    return Notice(is_good=True, text=f"{text('done.propose', language)}: {number}", lines=tuple(lines))


async def _approve(acting: Acting, form: Form, language: str) -> Notice:
    edition = await verbs.approve_edition(acting, form.number("proposal_id"))
    return Notice(is_good=True, text=f"{text('done.publish', language)} {edition.number}")


async def _reject(acting: Acting, form: Form, language: str) -> Notice:
    await verbs.reject_edition(acting, form.number("proposal_id"), form.text("reason"))
    return Notice(is_good=True, text=text("done.reject", language))


async def _make_report(acting: Acting, form: Form, language: str) -> Notice:
    named = {name: form.text(name) for name in ("told_by", "place_class", "unit", "edition")}
    fields = {name: value for name, value in named.items() if value}
    days = {name: form.day(name) for name in ("first", "last")}
    head = await verbs.make_report(
        acting, _valid(MakeReportBody, {"region": form.text("region"), **days, **fields})
    )
    return Notice(is_good=True, text=f"{text('done.make_report', language)}: {head.number}")


async def _remake(acting: Acting, form: Form, language: str) -> Notice:
    head = await verbs.remake_report(acting, form.text("report_id"), form.text("reason"))
    said = f"{text('done.remake', language)}: {head.number} {text('revision', language)} {head.revision}"
    return Notice(is_good=True, text=said)


async def _add_device(acting: Acting, form: Form, language: str) -> Notice:
    body = _body(GbDeviceBody, form, ("device_id", "name", "media", "stream", "password"))
    await gb_acts.add_device(acting, body, Secret(body.password.get_secret_value()))
    return Notice(is_good=True, text=f"{text('done.add_device', language)}: {body.device_id}")


async def _change_device(acting: Acting, form: Form, language: str) -> Notice:
    # What was left empty: a name that is taken away, a password that stays.
    kept = ("name", "media", "stream")
    names = (*kept, "password") if form.fields.get("password") else kept
    await gb_acts.change_device(acting, form.text("device_id"), _body(GbDeviceChangeBody, form, names))
    return Notice(is_good=True, text=f"{text('done.change_device', language)}: {form.text('device_id')}")


def _body(schema: type[Body], form: Form, names: Sequence[str]) -> Body:
    """Return the body of an operation from fields of the same names; a password as it was typed."""
    return _valid(
        schema,
        {name: form.fields.get(name, "") if name == "password" else form.text(name) for name in names},
    )


def _valid(schema: type[Body], fields: Mapping[str, object]) -> Body:
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from error


async def _remove_device(acting: Acting, form: Form, language: str) -> Notice:
    await gb_acts.remove_device(acting, form.text("device_id"))
    return Notice(is_good=True, text=f"{text('done.remove_device', language)}: {form.text('device_id')}")


async def _refuse_device(acting: Acting, form: Form, language: str) -> Notice:
    await gb_acts.refuse_device(acting, form.text("device_id"))
    return Notice(is_good=True, text=f"{text('done.refuse_device', language)}: {form.text('device_id')}")


async def _open_case(acting: Acting, form: Form, language: str) -> Notice:
    found = await case_acts.open_for(acting, form.number("site_id"))
    return Notice(is_good=True, text=f"{text('done.open_case', language)}: {found.number}")


async def _carry_case_on(acting: Acting, form: Form, language: str) -> Notice:
    named = form.text("step")
    if named not in {step.value for step in CaseStep}:
        raise ApiProblem(Code.INVALID, text("next_steps", language))
    step = CaseStep(named)
    body = _valid(CaseStepBody, {"step": step, "detail": {name: form.text(name) for name in NEEDED[step]}})
    found = await case_acts.carry_on(acting, form.text("number"), body)
    return Notice(is_good=True, text=f"{found.number}: {word(f'case.{found.standing.state}', language)}")


async def _request_suspension(acting: Acting, form: Form, language: str) -> Notice:
    of = form.text("of")
    if of not in ("site_id", "source_id"):
        raise ApiProblem(Code.INVALID, text("what_is_suspended", language))
    hours = _rest_hours(form)
    body = _valid(
        SuspensionBody,
        {
            **({"hours": hours} if hours is not None else {}),
            of: form.number(of),
            "reason": form.text("reason"),
            "starts_at": form.instant("starts_at", language),
            "ends_at": form.instant("ends_at", language),
            "document": form.text("document"),
        },
    )
    found = await suspension_acts.ask_for_window(acting, body)
    return Notice(is_good=True, text=f"{text('done.request_suspension', language)}: {found.suspension_id}")


def _rest_hours(form: Form) -> dict[str, object] | None:
    """Return the hours of rest; None where a form names none."""
    begins, ends, weekdays = (form.text(name) for name in ("rest_begins", "rest_ends", "rest_weekdays"))
    if not begins and not ends:
        return None
    days = {"weekdays": [day.strip() for day in weekdays.split(",")]} if weekdays.strip() else {}
    return {"begins": begins, "ends": ends, **days}


async def _act_on_suspension(acting: Acting, form: Form, language: str) -> Notice:
    number = form.number("suspension_id")
    found = await suspension_acts.act_on_window(
        acting, number, _body(SuspensionActBody, form, ("act", "text"))
    )
    return Notice(
        is_good=True,
        text=f"{text('done.suspension', language)} {number}: {text(f'suspension.{found.state}', language)}",
    )


async def _attest(acting: Acting, form: Form, language: str) -> Notice:
    body = _body(AttestationBody, form, ("fact", "value", "document"))
    found = await compliance_acts.attest_of(acting, form.number("system_id"), body)
    said = f"{found.unit}: {word(f'fact.{body.fact}', language)}"
    return Notice(is_good=True, text=f"{text('done.attest', language)}: {said}")


async def _attest_file(acting: Acting, form: Form, language: str) -> Notice:
    found = await compliance_acts.attest_file(acting, form.file)
    figures = f"{text('attested_facts', language)} {found.facts}, {text('system', language)} {found.systems}"
    return Notice(is_good=True, text=f"{text('done.attest', language)}: {figures}")


async def _dispute(acting: Acting, form: Form, language: str) -> Notice:
    fields: dict[str, object] = {
        name: form.text(name) for name in ("first", "last", "raised_by", "text", "document")
    }
    if form.text("running_from") or form.text("running_until"):
        for name in ("running_from", "running_until"):
            fields[name] = form.instant(name, language)
    body = _valid(DisputeBody, fields)
    found = await dispute_acts.object_to(acting, form.number("source_id"), body)
    return Notice(is_good=True, text=f"{text('done.dispute', language)}: {found.dispute_id}")


async def _answer_dispute(acting: Acting, form: Form, language: str) -> Notice:
    body = _body(DisputeAnswerBody, form, ("upheld", "text"))
    found = await dispute_acts.settle(acting, form.number("dispute_id"), body)
    return Notice(is_good=True, text=f"{text('done.answer_dispute', language)}: {found.dispute_id}")


Verb = Callable[[Acting, Form, str], Awaitable[Notice]]

VERBS: Final[Mapping[str, tuple[Verb, str]]] = {
    "confirm": (_confirm, "/sightings"),
    "accept": (_accept, "/sightings"),
    "refuse": (_refuse, "/sightings"),
    "add_device": (_add_device, "/devices"),
    "change_device": (_change_device, "/devices"),
    "remove_device": (_remove_device, "/devices"),
    "refuse_device": (_refuse_device, "/devices"),
    "attest": (_attest, "/compliance"),
    "attest_file": (_attest_file, "/compliance"),
    "dispute": (_dispute, "/sources/{source_id}"),
    "answer_dispute": (_answer_dispute, "/cases"),
    "open_case": (_open_case, "/cases"),
    "carry_case_on": (_carry_case_on, "/cases"),
    "request_suspension": (_request_suspension, "/suspensions"),
    "act_on_suspension": (_act_on_suspension, "/suspensions"),
    "authorise": (_authorise, "/networks"),
    "revoke": (_revoke, "/networks"),
    "sweep": (_sweep, "/networks"),
    "stop": (_stop, "/networks"),
    "relay": (_relay, "/relays"),
    "play": (_play, "/sources/{source_id}"),
    "interrogate": (_interrogate, "/sources/{source_id}"),
    "import": (_import, "/roll"),
    "publish": (_publish, "/roll"),
    "propose": (_propose, "/roll"),
    "approve": (_approve, "/roll"),
    "reject": (_reject, "/roll"),
    "make_report": (_make_report, "/reports"),
    "remake": (_remake, "/reports"),
}
"""What a form does, and the page that is shown then."""


async def act(request: web.Request) -> web.StreamResponse:
    """Carry out a form of the page and show what came of it."""
    require_own_origin(request)
    session, principal = await logged_in(request)
    name = request.match_info["verb"]
    if name not in VERBS:
        raise ApiProblem(Code.NOT_FOUND)
    verb, page = VERBS[name]
    services = request.app[SERVICES]
    services.recorder.require_room(principal.role)
    is_large = name == "import"
    with services.large_bodies.turn() if is_large else nullcontext():
        form = await _read(request, verbs.ROLL_LIMIT if is_large else _ROOM)
        if session.is_forged(form.fields.get("csrf", "")):
            raise ApiProblem(Code.CSRF)
        request[SCOPE] = " ".join(
            f"{key}={value}"
            for key, value in sorted(form.fields.items())
            if key.endswith(("_id", "cidr", "number"))
        )[:200]
        if "{source_id}" in page:
            page = page.format(source_id=form.number("source_id"))
        await _carry_out(verb, Acting(services, principal), form, session, console_language(request))
    return web.Response(status=303, headers={"Location": page})


async def _carry_out(verb: Verb, acting: Acting, form: Form, session: Session, language: str) -> None:
    try:
        session.tell(await verb(acting, form, language))
    except ApiProblem as problem:
        session.tell(_refusal(problem, language))
    except DatabaseAway:
        session.tell(_refusal(ApiProblem(Code.DATABASE_AWAY), language))
    except (NetworkRefused, DecisionRefused) as error:
        reason = error.reason.en if language == "en" else error.reason.zh
        session.tell(_refusal(ApiProblem(Code.INVALID, reason), language))
    except CatalogError as error:
        session.tell(_refusal(problem_of_catalog(error), language))


def _refusal(problem: ApiProblem, language: str) -> Notice:
    kind = KINDS[problem.code]
    title = kind.en if language == "en" else kind.zh
    lines = tuple(f"{fault.pointer}: {fault.detail}" for fault in problem.faults[:50])
    detail = f": {problem.detail}" if problem.detail else ""
    return Notice(is_good=False, text=f"{title}{detail}", lines=lines)


async def _read(request: web.Request, limit: int) -> Form:
    if request.content_length is None or request.content_length > limit:
        raise ApiProblem(Code.TOO_LARGE)
    try:
        async with in_time(limit):
            posted = await request.post()
    except ValueError as error:
        raise ApiProblem(Code.MALFORMED) from error
    fields = {name: value for name, value in posted.items() if isinstance(value, str)}
    upload = posted.get("file")
    file = upload.file.read() if isinstance(upload, web.FileField) else b""
    return Form(fields, file)
