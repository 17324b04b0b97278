"""The file that maps verbs to endpoints which a shop already has: what may stand in it, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from bot.domain.subjects import SubjectKind
from bot.domain.verbs import OperationClass, Verb
from bot.market.templates import (
    IN_HEADERS,
    Json,
    check_path,
    placeholders,
)

PLAIN_ID = r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}"
"""Ids that mean the same to every server between us and the shop."""
EFFECTS: Mapping[Verb, tuple[str, ...]] = {
    Verb.CANCEL: ("refund_policy", "notify_buyer", "notify_seller"),
    Verb.REFUND: ("amount", "currency", "route", "external_reference"),
    Verb.WARN: ("template",),
    Verb.REMOVE_FOLLOWS: ("since",),
}
"""What changes the effect of a verb: never dropped on the way, or something else runs than was shown."""

_SECRET = re.compile(r"auth|token|secret|passw|cookie|credential|api[-_]?key", re.IGNORECASE)
_NOT_OURS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "expect"}
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")

Scalar: TypeAlias = StrictBool | StrictInt | StrictStr | None


def _pointer(value: str) -> str:
    if not re.fullmatch(r"(/([^~/]|~[01])*)+", value):
        raise ValueError("must be a JSON pointer, such as /order/state")
    return value


def _path(value: str) -> str:
    check_path(value)
    placeholders(value)
    return value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError("must be the name of a header")
    if value.lower() in _NOT_OURS:
        raise ValueError(f"must not set {value}: that is the connection's own")
    return value


def _id_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from error
    return value


Pointer: TypeAlias = Annotated[str, AfterValidator(_pointer)]
PathText: TypeAlias = Annotated[str, AfterValidator(_path)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]
Statuses: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=200, le=499)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
]
Successes: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=200, le=299)], ...], BeforeValidator(_listed), Field(min_length=1)
]
Absences: TypeAlias = Annotated[
    tuple[Annotated[int, Field(ge=400, le=499)], ...], BeforeValidator(_listed)
]
Where: TypeAlias = Mapping[Pointer, Scalar | tuple[Scalar, ...]]
"""Pointers into the answer and the values that one of must stand there."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(_Strict):
    """Where the secret comes from and how it is sent; it never stands in the file."""

    token_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    header: HeaderName = "Authorization"
    scheme: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]*$")] = "Bearer"
    """Empty: the secret stands in the header alone."""


class Asking(_Strict):
    """A GET that changes nothing."""

    path: PathText
    query: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> Asking:
        _check_query(self.query)
        return self

    @property
    def asks_for(self) -> frozenset[str]:
        return placeholders(self.path) | placeholders(list(self.query.values()))


class Sending(_Strict):
    """The request that carries a verb out."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: PathText
    query: Mapping[str, str] = {}
    headers: Mapping[HeaderName, str] = {}
    body: Any = None
    """JSON; a placeholder that stands alone keeps its type."""
    form: Mapping[str, str] | None = None

    @model_validator(mode="after")
    def _is_one_request(self) -> Sending:
        if self.body is not None and self.form is not None:
            raise ValueError("must have a `body` (JSON) or a `form`, not both")
        _check_query(self.query)
        _check_headers(self.headers)
        strange = placeholders(list(self.headers.values())) - IN_HEADERS
        if strange:
            raise ValueError(
                f"must not put {{{min(strange)}}} into a header: only {{operation_id}} and {{actor}}"
            )
        placeholders(self.json_body)
        placeholders(list((self.form or {}).values()))
        return self

    @property
    def json_body(self) -> Json:
        body: Json = self.body
        return body

    @property
    def carries(self) -> frozenset[str]:
        texts = [*self.query.values(), *self.headers.values(), *(self.form or {}).values()]
        return placeholders(self.path) | placeholders(self.json_body) | placeholders(list(texts))


class Success(_Strict):
    """Which answers mean that it was done."""

    status: Successes = (200, 201, 204)
    where: Where = {}
    any_body: bool = False
    """Believe the status alone. Otherwise an answer must hold JSON: a log-in page also comes with 200."""


class Refused(_Strict):
    """Which answers mean that it was definitely not done."""

    status: Statuses
    where: Where = {}
    code: Pointer | None = None
    message: Pointer | None = None

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Refused:
        if any(300 <= status < 400 for status in self.status):
            raise ValueError("must not count a redirect as a refusal: nobody knows what it did")
        if any(status < 300 for status in self.status) and not self.where:
            raise ValueError("must say in `where` how a refusal with a 2xx differs from a success")
        return self


class Lookup(Asking):
    """How to find out what became of an operation whose answer was lost."""

    by: Literal["operation", "state"]
    done: Annotated[Where, Field(min_length=1)]
    missing: Absences = (404,)
    """By operation: the statuses that mean it was never received."""
    missing_where: Where = {}
    """By operation: the same, told in a 200."""
    under_way: Where = {}
    refused: Where = {}
    code: Pointer | None = None
    message: Pointer | None = None

    @model_validator(mode="after")
    def _asks_for_one_thing(self) -> Lookup:
        if self.by == "operation" and "operation_id" not in self.asks_for:
            raise ValueError("must ask for {operation_id} in its path or query")
        if self.by == "state":
            if "subject_id" not in self.asks_for:
                raise ValueError("must ask for {subject_id} in its path or query")
            extra = [
                name for name in ("missing_where", "under_way", "refused") if getattr(self, name)
            ]
            if extra:
                raise ValueError(f"must not have `{extra[0]}`: a state only tells what is `done`")
        return self


class RouteBack(_Strict):
    """By which way money would go back, read from the shop's own words."""

    pointer: Pointer
    values: Mapping[str, Literal["card", "wallet", "carrier", "points", "bank_transfer", "none"]]


class Preview(Asking):
    """What can be read before a verb is sent, where a shop has no plan but shows the subject."""

    allowed: Where = {}
    code: Pointer | None = None
    message: Pointer | None = None
    missing: Absences = (404,)
    token: Pointer | None = None
    """A version of the subject that the request sends back as {plan_token}, and that the shop compares."""
    money: Literal["smallest_unit", "decimal"] = "smallest_unit"
    currency: Pointer | None = None
    refund_amount: Pointer | None = None
    """What is left to give back."""
    withheld_amount: Pointer | None = None
    refund_route: RouteBack | None = None

    @model_validator(mode="after")
    def _money_has_a_currency(self) -> Preview:
        if "subject_id" not in self.asks_for:
            raise ValueError("must ask for {subject_id} in its path or query")
        if (self.refund_amount or self.withheld_amount) and self.currency is None:
            raise ValueError("must say where the `currency` of its amounts stands")
        return self


class Consequence(_Strict):
    """What people are told will happen, in both languages."""

    ja: Annotated[str, Field(min_length=1, max_length=300)]
    en: Annotated[str, Field(min_length=1, max_length=300)]


class MappedVerb(_Strict):
    """One verb: how it is carried out, and how far that can be trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    operation_class: Annotated[OperationClass, Field(alias="class")]
    request: Sending | None = None
    success: Success = Success()
    pending: Success | None = None
    refused: tuple[Refused, ...] = ()
    nothing_done: tuple[Literal[429, 503], ...] = ()
    """With a Retry-After, these mean that nothing was done."""
    codes: Mapping[str, str] = {}
    """The shop's codes and the contract's words for them."""
    fixed: Mapping[str, StrictBool | StrictInt | StrictStr] = {}
    """What this endpoint always does; a decision that wants otherwise is refused."""
    values: Mapping[str, Mapping[str, StrictBool | StrictInt | StrictStr]] = {}
    """By placeholder: the contract's values and the shop's words for them."""
    key_header: HeaderName | None = None
    key_window_s: Annotated[int, Field(ge=1)] | None = None
    execution_bound_s: Annotated[int, Field(ge=1, le=24 * 3600)] | None = None
    lookup: Lookup | None = None
    plan: Preview | None = None
    reversible: bool | None = None
    consequence: Consequence | None = None

    @model_validator(mode="after")
    def _keeps_what_its_class_promises(self) -> MappedVerb:
        if self.operation_class is OperationClass.MANUAL:
            allowed = {"operation_class", "consequence", "reversible"}
            if extra := sorted(self.model_fields_set - allowed):
                raise ValueError(
                    f"must not have `{extra[0]}`: a verb of class manual is carried out by people"
                )
            return self
        for name in ("request", "execution_bound_s"):
            if getattr(self, name) is None:
                raise ValueError(f"must have `{name}`, unless its class is manual")
        carries = self.request.carries if self.request else frozenset()
        if "subject_id" not in carries:
            raise ValueError("must send {subject_id}, or nobody knows whom it is done to")
        self._check_class(carries)
        self._check_plan(carries)
        self._check_answers()
        return self

    def _check_class(self, carries: frozenset[str]) -> None:
        match self.operation_class:
            case OperationClass.KEY:
                if self.key_window_s is None:
                    raise ValueError("must have `key_window_s`: how long the shop keeps a key")
                if self.key_header is None and "operation_id" not in carries:
                    raise ValueError("must have `key_header`, or send {operation_id}")
            case OperationClass.LOOKUP:
                if self.lookup is None:
                    raise ValueError("must have `lookup`, as its class is lookup")
                if self.lookup.by == "operation" and "operation_id" not in carries:
                    raise ValueError(
                        "must send {operation_id}: the shop cannot find what it was never told"
                    )
            case OperationClass.NONE:
                if self.lookup is not None:
                    raise ValueError("must be of class lookup or key to have a `lookup`")
                if self.pending is not None:
                    raise ValueError(
                        "must not have `pending`: with class none nobody could ask for the end"
                    )
            case OperationClass.MANUAL:
                return
        if self.operation_class is not OperationClass.KEY and (
            self.key_header is not None or self.key_window_s is not None
        ):
            raise ValueError("must be of class key to have `key_header` or `key_window_s`")

    def _check_plan(self, carries: frozenset[str]) -> None:
        has_token = self.plan is not None and self.plan.token is not None
        if has_token != ("plan_token" in carries):
            raise ValueError(
                "must both read a token (`plan.token`) and send it ({plan_token}), or neither"
            )

    def _check_answers(self) -> None:
        statuses = {status for rule in self.refused for status in rule.status if status < 300}
        success = {*self.success.status, *(self.pending.status if self.pending else ())}
        if statuses & success and (
            not self.success.where or (self.pending is not None and not self.pending.where)
        ):
            raise ValueError(
                f"must say in `success.where` what a success with {min(statuses & success)} looks like:"
                " a refusal has the same status"
            )
        if self.pending is not None and set(self.pending.status) & set(self.success.status):
            both = [self.pending.where, self.success.where]
            if not all(both):
                raise ValueError("must tell `pending` from `success` by `status` or `where`")


class VerbMap(_Strict):
    """The file as written. A verb that does not stand in it is not offered."""

    base_url: str | None = None
    auth: Auth | Literal["none"] | None = None
    headers: Mapping[HeaderName, str] = {}
    id_pattern: Annotated[str, AfterValidator(_id_pattern)] = PLAIN_ID
    admin_urls: Mapping[SubjectKind, str] = {}
    """The back office's page of a subject, for people, where the market's views have no admin_url."""
    subjects: Mapping[SubjectKind, PathText] = {}
    """Where a subject can be read whole: only `mimawari contract test` does."""
    verbs: Annotated[Mapping[Verb, MappedVerb], Field(min_length=1)]

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None:
            check_base_url(value)
        return value

    @field_validator("headers")
    @classmethod
    def _hold_no_secret(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        _check_headers(value)
        if placeholders(list(value.values())):
            raise ValueError("must be fixed texts: what differs by verb goes to its request")
        return value

    @field_validator("admin_urls")
    @classmethod
    def _lead_to_a_subject(cls, value: Mapping[SubjectKind, str]) -> Mapping[SubjectKind, str]:
        for url in value.values():
            _check_admin_url(url)
        return value

    @model_validator(mode="after")
    def _has_somewhere_to_send(self) -> VerbMap:
        sent = [v for v in self.verbs.values() if v.operation_class is not OperationClass.MANUAL]
        if sent and (self.base_url is None or self.auth is None):
            raise ValueError("must have `base_url` and `auth` (or `auth: none`) for its requests")
        return self


def check_base_url(url: str) -> None:
    """Raise a ValueError unless it is an address that requests can be put behind."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must start with http:// or https://")
    if parts.username is not None or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            "must be without user, password, query or fragment: a secret comes from the environment"
        )
    if any(segment in {".", ".."} for segment in parts.path.split("/")):
        raise ValueError("must not climb with dots")


def _check_query(query: Mapping[str, str]) -> None:
    placeholders(list(query.values()))
    for name, value in query.items():
        if _SECRET.search(name) and not placeholders(value):
            raise ValueError(f"must keep secrets out of the file: `{name}` belongs to `auth`")


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _SECRET.search(name):
            raise ValueError(f"must keep secrets out of the file: `{name}` belongs to `auth`")
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"must have printable ASCII in the header `{name}`")


def _check_admin_url(url: str) -> None:
    if not url.startswith(("https://", "http://")) or placeholders(url) != {"subject_id"}:
        raise ValueError(
            "must have `admin_urls` that start with https:// and hold {subject_id} and nothing else"
        )
    check_path("/" + url.split("://", 1)[1].partition("?")[0])
