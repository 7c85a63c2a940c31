"""Handlers of ONVIF devices: what they told, asking them now, turning them."""

from typing import Final

from pydantic import BaseModel

from adapters.onvif.report import PanTilt
from catalog.access import Role
from catalog.onvif_devices import device_records, recent_events
from gateway.api import onvif_schemas as schemas
from gateway.api import verbs
from gateway.api.acting import REFUSALS, acting
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of, source_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.onvif.ptz_desk import PtzCommand

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR
_ONE: Final = "404 outside the token's region"
_PROBLEMS: Final = (*REFUSALS, Code.NOT_RUNNING, Code.DEVICE_FAILED, Code.TOO_MANY)


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/onvif",
    tag="onvif",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.OnvifAnswer},
    problems=(Code.NOT_FOUND,),
)
async def get_onvif(call: Call[NoQuery, None]) -> BaseModel:
    """Show the ONVIF devices of a source with their last interrogation, and their dated history."""
    source = await source_of(call)
    return await _onvif(call, source.source_id)


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/interrogations",
    tag="onvif",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.OnvifAnswer},
    problems=_PROBLEMS,
)
async def interrogate(call: Call[NoQuery, None]) -> BaseModel:
    """Ask the ONVIF device of a source now who it is and what it streams."""
    source_id = number_of(call.path["source_id"])
    await verbs.interrogate(acting(call), source_id)
    return await _onvif(call, source_id)


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/ptz",
    tag="onvif",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.PtzAnswer},
    problems=_PROBLEMS,
)
async def get_ptz(call: Call[NoQuery, None]) -> BaseModel:
    """Ask a camera where it looks, and for its stored positions."""
    source_id = number_of(call.path["source_id"])
    await acting(call).require_source(source_id)
    async with verbs.told_by_devices():
        view = await verbs.onvif_desk(acting(call)).ptz_view(source_id)
    status = view.status
    return schemas.PtzAnswer(
        as_of=call.services.clock.now(),
        position=None if status is None else schemas.PositionAnswer.model_validate(status.position),
        moving=None if status is None else status.moving,
        presets=tuple(schemas.PresetAnswer.model_validate(preset) for preset in view.presets),
    )


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/ptz",
    tag="onvif",
    region_rule=_ONE,
    answers={_OPERATOR: schemas.PtzDoneAnswer},
    body=schemas.PtzBody,
    problems=(*_PROBLEMS, Code.PURPOSE_MISSING),
)
async def turn(call: Call[NoQuery, schemas.PtzBody]) -> BaseModel:
    """Turn a camera; a continuous movement ends by itself unless its command is repeated."""
    source_id, body = number_of(call.path["source_id"]), call.body
    call.scope = f"source {source_id} {body.command}"
    await acting(call).require_source(source_id)
    if not body.purpose.strip():
        raise ApiProblem(Code.PURPOSE_MISSING)
    command = PtzCommand(
        verb=body.command,
        where=PanTilt(body.pan, body.tilt, body.zoom),
        seconds=body.seconds,
        preset=body.preset or "",
        name=body.name or "",
    )
    async with verbs.told_by_devices():
        answer = await verbs.onvif_desk(acting(call)).turn(
            source_id, command, person=call.principal.name, purpose=body.purpose.strip()
        )
    return schemas.PtzDoneAnswer(
        preset=str(answer) if body.command == "set_preset" else None,
        stops_in=body.seconds if body.command == "move" else None,
    )


async def _onvif(call: Call[NoQuery, None], source_id: int) -> schemas.OnvifAnswer:
    database = call.services.database
    devices = await device_records(database, source_id)
    events = await recent_events(database, source_id)
    return schemas.OnvifAnswer(
        as_of=call.services.clock.now(),
        devices=tuple(
            schemas.OnvifDeviceAnswer(
                endpoint_id=device.endpoint_id,
                host=device.host,
                port=device.port,
                path=device.path,
                pinned=device.tls_pin_sha256 is not None,
                confirmed_by=device.confirmed_by,
                asked_at=device.asked_at,
                answered_at=device.answered_at,
                next_at=device.next_at,
                failures=device.failures,
                cause=device.cause,
                failure=device.failure,
                clock_offset=device.clock_offset,
                report=None
                if device.report is None
                else schemas.OnvifReportAnswer.model_validate(device.report),
            )
            for device in devices
        ),
        events=tuple(
            schemas.DeviceEventAnswer(
                at=event.at, kind=event.kind.value, person=event.person, detail=dict(event.detail)
            )
            for event in events
        ),
    )
