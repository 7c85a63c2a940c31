"""Handlers of GB/T 28181 devices: who may register, what they told, who was refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

from adapters.gb28181.records import covered
from catalog import gb_devices
from catalog.access import Role
from catalog.gb_devices import DeviceExists, DeviceRefused, DeviceUnknown, GbDevice, NewDevice
from catalog.model.secret import Secret
from gateway.api import gb_schemas as schemas
from gateway.api.acting import REFUSALS, WHOLE, acting
from gateway.api.bodies import DoneAnswer
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.services import ApiServices
from gateway.api.verbs import Acting, told_by_devices

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR


@registry.operation(
    "GET",
    "/api/v1/gb28181/devices",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.GbDevicesAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_gb_devices(call: Call[NoQuery, None]) -> BaseModel:
    """List the devices that may register, with their registrations."""
    acting(call).require_whole()
    services = call.services
    found = await gb_devices.devices(services.database, services.config.gateway.id)
    return schemas.GbDevicesAnswer(
        as_of=services.clock.now(), items=tuple(_device(each, services) for each in found)
    )


@registry.operation(
    "GET",
    "/api/v1/gb28181/devices/{device_id}",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.GbDeviceDetailAnswer},
    problems=(Code.REGION_FORBIDDEN, Code.NOT_FOUND),
)
async def get_gb_device(call: Call[NoQuery, None]) -> BaseModel:
    """Show a device with its channels, what it told of itself, and what happened."""
    acting(call).require_whole()
    services = call.services
    with device_rules():
        found = await gb_devices.device(services.database, services.config.gateway.id, call.path["device_id"])
    channels = await gb_devices.channels(services.database, found.device_id)
    events = await gb_devices.events(services.database, found.device_id)
    return schemas.GbDeviceDetailAnswer(
        as_of=services.clock.now(),
        device=_device(found, services),
        told=dict(found.told),
        channels=tuple(schemas.GbChannelAnswer.model_validate(each) for each in channels),
        events=tuple(
            schemas.GbEventAnswer(
                at=each.at, kind=each.kind.value, channel_id=each.channel_id, detail=dict(each.detail)
            )
            for each in events
        ),
    )


@registry.operation(
    "POST",
    "/api/v1/gb28181/devices",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.GbDeviceAnswer},
    body=schemas.GbDeviceBody,
    status=201,
    problems=REFUSALS,
)
async def add_gb_device(call: Call[NoQuery, schemas.GbDeviceBody]) -> BaseModel:
    """Let a device register, with a password of its own; this accepts one from quarantine, too."""
    body = call.body
    call.scope = f"device {body.device_id}"
    password = Secret(body.password.get_secret_value())
    await add_device(acting(call), body, password)
    services = call.services
    found = await gb_devices.device(services.database, services.config.gateway.id, body.device_id)
    return _device(found, services)


@registry.operation(
    "PATCH",
    "/api/v1/gb28181/devices/{device_id}",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.GbDeviceAnswer},
    body=schemas.GbDeviceChangeBody,
    problems=REFUSALS,
)
async def change_gb_device(call: Call[NoQuery, schemas.GbDeviceChangeBody]) -> BaseModel:
    """Change name, media, stream or password of a device; a password counts from the next registration on."""
    services, device_id = call.services, call.path["device_id"]
    call.scope = f"device {device_id}"
    await change_device(acting(call), device_id, call.body)
    return _device(
        await gb_devices.device(services.database, services.config.gateway.id, device_id), services
    )


@registry.operation(
    "DELETE",
    "/api/v1/gb28181/devices/{device_id}",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: DoneAnswer},
    problems=REFUSALS,
)
async def remove_gb_device(call: Call[NoQuery, None]) -> BaseModel:
    """Let a device register no more; its sources stay on the roll, its events on record."""
    device_id = call.path["device_id"]
    call.scope = f"device {device_id}"
    await remove_device(acting(call), device_id)
    return DoneAnswer()


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/recordings",
    tag="gb28181",
    region_rule="404 outside the token's region",
    answers={_OPERATOR: schemas.RecordingsAnswer},
    query=schemas.RecordingsQuery,
    problems=(*REFUSALS, Code.NOT_RUNNING, Code.DEVICE_FAILED),
)
async def get_recordings(call: Call[schemas.RecordingsQuery, None]) -> BaseModel:
    """Ask the device of a source which recordings it holds of one day."""
    source_id, day = number_of(call.path["source_id"]), call.query.day
    call.scope = f"source {source_id} recordings of {day}"
    await acting(call).require_source(source_id)
    desk = call.services.recordings_desk
    if desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "GB/T 28181 is switched off: set enabled in [gb28181]")
    async with told_by_devices():
        recordings, is_whole = await desk.recordings(source_id, day)
    return schemas.RecordingsAnswer(
        as_of=call.services.clock.now(),
        items=tuple(schemas.RecordingAnswer.model_validate(each) for each in recordings),
        whole=is_whole,
        covered=covered(recordings, day),
    )


@registry.operation(
    "GET",
    "/api/v1/gb28181/quarantine",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.GbQuarantineAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_gb_quarantine(call: Call[NoQuery, None]) -> BaseModel:
    """List who tried to register and was refused, and why."""
    acting(call).require_whole()
    found = await gb_devices.strangers(call.services.database)
    return schemas.GbQuarantineAnswer(
        as_of=call.services.clock.now(),
        items=tuple(schemas.GbStrangerAnswer.model_validate(each) for each in found),
    )


@registry.operation(
    "POST",
    "/api/v1/gb28181/quarantine/refusals",
    tag="gb28181",
    region_rule=WHOLE,
    answers={_OPERATOR: DoneAnswer},
    body=schemas.GbRefuseBody,
    problems=REFUSALS,
)
async def refuse_gb_device(call: Call[NoQuery, schemas.GbRefuseBody]) -> BaseModel:
    """Decide that one in quarantine stays outside."""
    call.scope = f"device {call.body.device_id}"
    await refuse_device(acting(call), call.body.device_id)
    return DoneAnswer()


def _device(found: GbDevice, services: ApiServices) -> schemas.GbDeviceAnswer:
    names = set(schemas.GbDeviceAnswer.model_fields) - {"registered"}
    return schemas.GbDeviceAnswer(
        registered=found.is_registered(services.clock.now()), **{name: getattr(found, name) for name in names}
    )


# -- the verbs, for the API and the operator's page --------------------------------------------------------------------


@contextmanager
def device_rules() -> Iterator[None]:
    """Turn what cannot be done for a device into a problem of the API."""
    try:
        yield
    except DeviceUnknown as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except DeviceExists as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error
    except DeviceRefused as error:
        raise ApiProblem(Code.INVALID, str(error)) from error


async def add_device(who: Acting, body: schemas.GbDeviceBody, password: Secret) -> None:
    """Make the account of a device."""
    who.require_whole()
    services = who.services
    with device_rules():
        await gb_devices.add_device(
            services.database,
            services.vault,
            services.config.gateway.id,
            NewDevice(body.device_id, password, body.name, body.media, body.stream),
            by=who.principal.name,
            at=services.clock.now(),
        )


async def change_device(who: Acting, device_id: str, body: schemas.GbDeviceChangeBody) -> None:
    """Change name, way of the media, stream or password of a device; what is None stays."""
    who.require_whole()
    services = who.services
    gateway_id = services.config.gateway.id
    with device_rules():
        await gb_devices.change_device(
            services.database, gateway_id, device_id, name=body.name, media=body.media, stream=body.stream
        )
        if body.password is not None:
            await gb_devices.set_device_password(
                services.database,
                services.vault,
                gateway_id,
                (device_id, Secret(body.password.get_secret_value())),
                by=who.principal.name,
                at=services.clock.now(),
            )


async def remove_device(who: Acting, device_id: str) -> None:
    """Remove the account of a device."""
    who.require_whole()
    services = who.services
    with device_rules():
        await gb_devices.remove_device(
            services.database, services.config.gateway.id, device_id, by=who.principal.name
        )


async def refuse_device(who: Acting, device_id: str) -> None:
    """Decide that one in quarantine stays outside."""
    who.require_whole()
    services = who.services
    with device_rules():
        await gb_devices.refuse_stranger(
            services.database, device_id, by=who.principal.name, at=services.clock.now()
        )
