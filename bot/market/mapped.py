"""A marketplace with endpoints of its own (step 2): verbs go where the verb map says, and to people where it says manual."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import Foretold, Plan
from bot.domain.subjects import Subject
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.market import mapped_answers
from bot.market.answers import Answer, kind_of_loss, read_answer
from bot.market.marketplace import (
    NO_PARAMS,
    MarketUnreachable,
    StoredOperation,
    SubjectNotFound,
)
from bot.market.templates import (
    Json,
    Unfillable,
    decimal_amount,
    fill_json,
    fill_path,
    fill_texts,
    same,
)
from bot.market.verb_map import EFFECTS, Asking, Auth, MappedVerb, VerbMap

_FINAL = frozenset({Verb.CANCEL, Verb.REFUND, Verb.WARN, Verb.REMOVE_FOLLOWS})
"""Cannot be undone, unless the map says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Json = None
    form: Mapping[str, str] | None = None


class MappedMarket:
    """Asks and tells a shop through its own endpoints. Every text that comes back is data, never trusted."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        verb_map: VerbMap,
        token: str | None = None,
        *,
        timeout_s: float = 10,
    ) -> None:
        self._session = session
        self._map = verb_map
        self._base_url = (verb_map.base_url or "").rstrip("/")
        self._headers = {"Accept": "application/json", **verb_map.headers}
        if isinstance(verb_map.auth, Auth):
            self._headers[verb_map.auth.header] = f"{verb_map.auth.scheme} {token or ''}".strip()
        self._timeout_s = timeout_s

    @property
    def verb_map(self) -> VerbMap:
        return self._map

    async def capabilities(self) -> Mapping[Verb, Capability]:
        """The verbs of the map."""
        return {
            verb: Capability(
                verb=verb,
                operation_class=mapped.operation_class,
                key_window_s=mapped.key_window_s,
                execution_bound_s=mapped.execution_bound_s or 0,
            )
            for verb, mapped in self._map.verbs.items()
        }

    async def plan(
        self, verb: Verb, subject: Subject, params: Mapping[str, str | int] = NO_PARAMS
    ) -> Plan:
        """What the adopter wrote down about the verb, and what can be read of the subject.

        Raises:
            SubjectNotFound: the shop does not know the subject.
            MarketUnreachable: no answer, or not as the map says.
        """
        mapped = self._map.verbs.get(verb)
        if mapped is None:
            raise MarketUnreachable(f"{verb} does not stand in the verb map")
        if mapped.request is not None and not self._is_plain(subject):
            raise SubjectNotFound("an id that the map does not let into an address")
        words = mapped.consequence
        plan = Plan(
            verb=verb,
            subject=subject,
            allowed=True,
            reversible=verb not in _FINAL if mapped.reversible is None else mapped.reversible,
            token=None,
            foretold=Foretold(ja=words.ja if words else None, en=words.en if words else None),
        )
        if (unwanted := _unwanted(verb, mapped, params)) is not None:
            return mapped_answers.forbidden(plan, "not_offered", unwanted)
        if mapped.plan is None:
            return plan
        answer = await self._ask(mapped.plan, {"subject_id": subject.id})
        if answer.status in mapped.plan.missing:
            raise SubjectNotFound(subject.id)
        return mapped_answers.preview(plan, mapped, answer, params)

    async def send(
        self,
        verb: Verb,
        subject: Subject,
        *,
        key: str,
        body: Mapping[str, object],
        timeout_s: float | None = None,
    ) -> Outcome:
        """Have a verb carried out as the map says. Never raises for what the network does:
        an answer that is lost or that the map does not explain is an outcome too, `unknown`.
        """
        request = self._request_of(verb, subject, key=key, body=body)
        if isinstance(request, Outcome):
            return request
        try:
            answer = await self._exchange(request, timeout_s or self._timeout_s)
        except aiohttp.ClientConnectorError:
            # No connection, so nothing was sent.
            return Outcome(kind=OutcomeKind.NOT_DONE, code="unreachable")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(kind=OutcomeKind.UNKNOWN, code=kind_of_loss(error))
        return mapped_answers.outcome(self._map.verbs[verb], answer)

    def problem_of(
        self, verb: Verb, subject: Subject, *, key: str, body: Mapping[str, object]
    ) -> Outcome | None:
        """Why a send of this would be refused before anything is sent; None: it would be sent."""
        request = self._request_of(verb, subject, key=key, body=body)
        return request if isinstance(request, Outcome) else None

    async def lookup(self, key: str, *, verb: Verb, subject: Subject) -> Outcome | None:
        """What became of an operation, as far as the shop can be asked; None: it was not received so far.

        Where only the key protects (class key without a look-up), None too: sending again under the
        same key is the question.

        Raises:
            MarketUnreachable: it could not be asked, or the map does not explain the answer.
        """
        mapped = self._map.verbs.get(verb)
        if mapped is None or mapped.operation_class in {OperationClass.NONE, OperationClass.MANUAL}:
            # Perhaps the map was changed while the outcome was open: guessing would double it.
            raise MarketUnreachable(f"the verb map cannot look {verb} up")
        if mapped.lookup is None:
            return None
        if not self._is_plain(subject):
            raise MarketUnreachable("an id that the map does not let into an address")
        answer = await self._ask(mapped.lookup, {"subject_id": subject.id, "operation_id": key})
        return mapped_answers.looked_up(mapped, mapped.lookup, answer)

    async def received(self, since: datetime | None) -> Sequence[StoredOperation]:  # noqa: ARG002
        """A shop's own endpoints keep no list of what came under which key."""
        return ()

    async def retry_steps(self, key: str, *, verb: Verb) -> Outcome:  # noqa: ARG002 - see below
        """A shop's own endpoints tell of no steps, so none can have failed alone."""
        return _never_sent("nothing_to_retry", "The shop's endpoint has no steps.")

    async def read(self, subject: Subject) -> Json:
        """The subject whole, where the map says how; for `mimawari contract test`.

        Raises:
            LookupError: the map does not say how.
            SubjectNotFound: there is no such subject.
            MarketUnreachable: no answer that could be read.
        """
        path = self._map.subjects[subject.kind]
        answer = await self._ask(Asking(path=path), {"subject_id": subject.id})
        if answer.status == 404:
            raise SubjectNotFound(subject.id)
        if answer.status != 200 or answer.body is None:
            raise MarketUnreachable(f"http_{answer.status}")
        body: Json = answer.body
        return body

    def _request_of(
        self, verb: Verb, subject: Subject, *, key: str, body: Mapping[str, object]
    ) -> _Request | Outcome:
        mapped = self._map.verbs.get(verb)
        if mapped is None or mapped.request is None:
            return _never_sent("not_offered", f"{verb} is not carried out by the verb map.")
        if not self._is_plain(subject):
            return Outcome(kind=OutcomeKind.REFUSED, code="not_found")
        if (unwanted := _unwanted(verb, mapped, body)) is not None:
            return _never_sent("not_offered", unwanted)
        try:
            return self._request(mapped, subject, key=key, body=_with_defaults(verb, body))
        except Unfillable as missing:
            return _never_sent("incomplete", f"The verb map needs {missing} and it is not there.")

    def _is_plain(self, subject: Subject) -> bool:
        return re.fullmatch(self._map.id_pattern, subject.id) is not None

    def _request(
        self, mapped: MappedVerb, subject: Subject, *, key: str, body: Mapping[str, object]
    ) -> _Request:
        """Raises Unfillable."""
        sending = mapped.request
        if sending is None:
            raise Unfillable("request")
        values: dict[str, str | int | bool] = {"subject_id": subject.id, "operation_id": key}
        for name, value in body.items():
            words = mapped.values.get(name)
            if words is not None:
                values[name] = words[_word(value)]
            elif isinstance(value, str | int):
                values[name] = value
        amount, currency = body.get("amount"), body.get("currency")
        if isinstance(amount, int) and isinstance(currency, str):
            written = decimal_amount(amount, currency)
            if written is not None:
                values["amount_decimal"] = written
        headers = fill_texts(sending.headers, values)
        if mapped.key_header is not None:
            headers[mapped.key_header] = key
        if not all(text.isascii() and text.isprintable() for text in headers.values()):
            raise Unfillable("a header")
        return _Request(
            method=sending.method,
            path=fill_path(sending.path, values),
            query=fill_texts(sending.query, values),
            headers=headers,
            json=None if sending.body is None else fill_json(sending.json_body, values),
            form=None if sending.form is None else fill_texts(sending.form, values),
        )

    async def _ask(self, asking: Asking, values: Mapping[str, str | int | bool]) -> Answer:
        try:
            path, query = fill_path(asking.path, values), fill_texts(asking.query, values)
            return await self._exchange(
                _Request(method="GET", path=path, query=query), self._timeout_s
            )
        except Unfillable as missing:
            raise MarketUnreachable(f"the verb map needs {missing}") from missing
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MarketUnreachable(kind_of_loss(error)) from error

    async def _exchange(self, request: _Request, timeout_s: float) -> Answer:
        async with self._session.request(
            request.method,
            # A path starts with a slash, so it cannot reach into the host.
            self._base_url + request.path,
            params=dict(request.query),
            json=request.json,
            data=None if request.form is None else dict(request.form),
            headers={**self._headers, **request.headers},
            # Where a shop sends us on to, our secret does not go.
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        ) as response:
            return await read_answer(response)


def _never_sent(code: str, message: str) -> Outcome:
    return Outcome(kind=OutcomeKind.REFUSED, code=code, message=message)


def _with_defaults(verb: Verb, body: Mapping[str, object]) -> Mapping[str, object]:
    """The body with what the contract lets be left out."""
    if verb is Verb.CANCEL:
        return {"refund_policy": "normal", **body}
    if verb is Verb.REFUND:
        return {"route": "original", **body}
    return body


def _unwanted(verb: Verb, mapped: MappedVerb, body: Mapping[str, object]) -> str | None:
    """What was decided and this endpoint cannot do; None: it does as decided."""
    if mapped.request is None:
        return None
    carries = mapped.request.carries
    effects = EFFECTS.get(verb, ())
    for name, value in _with_defaults(verb, body).items():
        if name not in effects:
            continue
        if name in mapped.fixed:
            known = same(mapped.fixed[name], value)
        elif name in carries or (name == "amount" and "amount_decimal" in carries):
            known = name not in mapped.values or _word(value) in mapped.values[name]
        elif name == "currency" and "amount_decimal" in carries:
            known = True
        else:
            known = (name, value) == ("route", "original")
        if not known:
            return f"The shop's endpoint does not offer {name} {value}."
    return None


def _word(value: object) -> str:
    """A value as the keys of `values` have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
