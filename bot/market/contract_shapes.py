"""The values of contract/market-api.yaml, strictly: a difference is told by the field in which it lies."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bot.domain.verbs import Verb
from bot.market.contract_test import Disobedience

_KIND = Literal[
    "hold",
    "release",
    "cancel",
    "refund",
    "suspend",
    "reinstate",
    "warn",
    "takedown",
    "restore",
    "remove_post",
    "restore_post",
    "remove_follows",
]


def _moment(value: str) -> str:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("must have a zone")
    return value


Moment = Annotated[str, AfterValidator(_moment)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class ProblemShape(_Shape):
    code: Annotated[str, Field(min_length=1)]
    message: str


class StepShape(_Shape):
    name: str
    state: Literal["planned", "done", "skipped", "failed"]
    detail: str | None = None
    amount: int | None = None


class OperationShape(_Shape):
    operation_id: str
    idempotency_key: str
    kind: _KIND
    subject_id: str
    state: Literal["succeeded", "partly_succeeded", "pending", "failed"]
    received_at: Moment
    before: dict[str, object] = {}
    after: dict[str, object] = {}
    steps: list[StepShape] = []
    failure: ProblemShape | None = None


class AffectedShape(_Shape):
    kind: str
    id: str
    summary: str | None = None


class MessageShape(_Shape):
    to: str
    subject: str | None = None
    body: str


class PlanShape(_Shape):
    kind: _KIND
    subject_id: str
    allowed: bool
    refusal: ProblemShape | None = None
    reversible: bool
    plan_token: Annotated[str, Field(min_length=1)]
    currency: str | None = None
    refund_amount: Annotated[int, Field(ge=0)] = 0
    withheld_amount: Annotated[int, Field(ge=0)] = 0
    refund_route: Literal["card", "wallet", "carrier", "points", "bank_transfer", "none"] = "none"
    steps: list[StepShape]
    affects: list[AffectedShape] = []
    messages: list[MessageShape] = []


class CapabilityShape(_Shape):
    kind: _KIND
    idempotency: Literal["key", "lookup", "none"]
    key_window_s: Annotated[int, Field(ge=1)] | None = None
    execution_bound_s: Annotated[int, Field(ge=0)]
    templates: list[str] = []

    @property
    def verb(self) -> Verb:
        return Verb(self.kind)


class CapabilitiesShape(_Shape):
    kinds: Annotated[list[CapabilityShape], Field(min_length=1)]


class OperationsShape(_Shape):
    operations: list[OperationShape]
    next_cursor: str | None = None


Shape = TypeVar("Shape", bound=_Shape)


def shaped(body: object, shape: type[Shape], what: str) -> Shape:
    """The body as the contract has it.

    Raises:
        Disobedience: it has another shape.
    """
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        words = str(first["msg"])
        raise Disobedience(
            f"{what} is not as the contract says: `{where}` {words[0].lower()}{words[1:]}"
        ) from error
