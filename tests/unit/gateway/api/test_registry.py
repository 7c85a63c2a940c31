import pytest

from catalog.access import Role
from gateway.api import police_schemas, schemas
from gateway.api.app import OPERATIONS
from gateway.api.registry import Call, Registry
from gateway.api.schemas import SitesAnswer

FORBIDDEN = {
    "address", "host", "port", "path", "mac", "serial", "name", "location_type", "server", "endpoints",
    "credential_ref", "gateway_id", "detail", "obstacle", "system", "gb_id", "source_id",
}  # fmt: skip


def test_a_route_is_declared_once() -> None:
    registry = Registry()

    async def list_things(call: Call[None, None]) -> SitesAnswer:
        """List things."""
        raise NotImplementedError

    registry.operation("GET", "/x", tag="t", region_rule="r", answers={Role.OPERATOR: None})(list_things)

    with pytest.raises(ValueError, match="declared twice"):
        registry.operation("GET", "/x", tag="t", region_rule="r", answers={Role.OPERATOR: None})(list_things)


def test_operation_ids_are_unique() -> None:
    ids = [operation.operation_id for operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_only_what_is_listed_here_answers_without_a_token() -> None:
    public = {operation.path for operation in OPERATIONS if Role.PUBLIC in operation.answers}

    assert public == {"/public/catalog", "/healthz", "/readyz"}


def test_the_police_have_exactly_these_operations() -> None:
    police = {operation.operation_id for operation in OPERATIONS if Role.POLICE_STATUS in operation.answers}

    assert police == {
        "query_status", "get_history", "report_never_connected", "report_offline", "report_rates", "report_summary",
        "list_stored_reports", "get_stored_report",
    }  # fmt: skip


def test_no_answer_to_the_police_has_a_field_of_basic_information() -> None:
    models = [
        *(
            getattr(police_schemas, name)
            for name in dir(police_schemas)
            if name.startswith(("Police", "Public"))
        ),
        schemas.StatusAnswer,
        schemas.CodeAnswer,
        schemas.OverlayAnswer,
        schemas.SummaryReport,
    ]

    found = {model.__name__: FORBIDDEN & model.model_fields.keys() for model in models}

    assert {name: fields for name, fields in found.items() if fields} == {}


def test_only_reads_are_answered_from_memory() -> None:
    assert all(operation.method == "GET" for operation in OPERATIONS if operation.cached)
