"""The client of the marketplace's admin API (contract/market-api.yaml)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import Affected, Plan, PlanMessage, PlanStep, StepState
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import VERB_SUBJECT, Capability, OperationClass, Verb
from bot.market.answers import Answer, kind_of_loss, read_answer
from bot.market.marketplace import (
    NO_PARAMS,
    MarketUnreachable,
    StoredOperation,
    SubjectNotFound,
)

__all__ = [
    "MarketApi",
    "MarketUnreachable",
    "OperationsPage",
    "ReceivedOperation",
    "SubjectNotFound",
]

MOST_PAGES = 200
_VERBS = frozenset(Verb)
_PATHS = {
    SubjectKind.ORDER: "orders",
    SubjectKind.ACCOUNT: "accounts",
    SubjectKind.LISTING: "listings",
    SubjectKind.POST: "posts",
}
_VERB_PATHS = {
    Verb.REFUND: "refunds",
    Verb.REMOVE_FOLLOWS: "remove-follows",
    Verb.REMOVE_POST: "remove",
    Verb.RESTORE_POST: "restore",
}
_STATES = {
    "succeeded": OutcomeKind.SUCCEEDED,
    "partly_succeeded": OutcomeKind.PARTLY_SUCCEEDED,
    "pending": OutcomeKind.PENDING,
    "failed": OutcomeKind.REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedOperation:
    """One line of the marketplace's list of operations."""

    key: str
    verb: str
    subject_id: str
    state: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationsPage:
    """A page of operations in the order in which they were received."""

    operations: tuple[ReceivedOperation, ...]
    next_cursor: str | None


class MarketApi:
    """The whole contract (step 3). Every text that comes back is data, never trusted."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        token: str,
        *,
        timeout_s: float = 10,
    ) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._timeout_s = timeout_s

    async def capabilities(self) -> Mapping[Verb, Capability]:
        """The verbs that the marketplace offers; one that we do not know is left out.

        Raises:
            MarketUnreachable: no answer, or not as the contract says.
        """
        body = await self._ask("/v1/capabilities")
        try:
            known = {verb.value for verb in Verb}
            return {
                Verb(entry["kind"]): Capability(
                    verb=Verb(entry["kind"]),
                    operation_class=OperationClass(entry["idempotency"]),
                    key_window_s=_optional_int(entry.get("key_window_s")),
                    execution_bound_s=_int(entry["execution_bound_s"]),
                )
                for entry in body["kinds"]
                if entry["kind"] in known
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MarketUnreachable("capabilities are not as the contract says") from error

    async def plan(
        self, verb: Verb, subject: Subject, params: Mapping[str, str | int] = NO_PARAMS
    ) -> Plan:
        """What the verb would do now, and nothing done.

        Raises:
            SubjectNotFound: the marketplace does not know the subject.
            MarketUnreachable: no answer, or not as the contract says.
        """
        path = subject_path(subject)
        if path is None:
            raise SubjectNotFound("an id that no address can hold")
        path += "/plan"
        body = await self._ask(path, {"kind": verb.value, **params})
        try:
            return _plan(body, verb, subject)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MarketUnreachable("a plan is not as the contract says") from error

    async def send(
        self,
        verb: Verb,
        subject: Subject,
        *,
        key: str,
        body: Mapping[str, object],
        timeout_s: float | None = None,
    ) -> Outcome:
        """Have a verb carried out under this idempotency key. Never raises for what the network does:
        an answer that is lost or unreadable is an outcome too, `unknown`.
        """
        path = subject_path(subject)
        if path is None:
            return Outcome(kind=OutcomeKind.REFUSED, code="not_found")
        path += f"/{verb_path(verb)}"
        try:
            answer = await self._post(path, dict(body), key, timeout_s)
        except aiohttp.ClientConnectorError:
            # No connection, so nothing was sent.
            return Outcome(kind=OutcomeKind.NOT_DONE, code="unreachable")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(kind=OutcomeKind.UNKNOWN, code=kind_of_loss(error))
        return _outcome(answer, key=key, verb=verb, subject=subject)

    async def lookup(
        self, key: str, *, verb: Verb | None = None, subject: Subject | None = None
    ) -> Outcome | None:
        """The stored outcome of a key; None if the marketplace has not received it so far.

        Args:
            verb, subject: what was sent under the key; the outcome of anything else is not believed.

        Raises:
            MarketUnreachable: it could not be asked.
        """
        try:
            answer = await self._get(f"/v1/operations/{quote(key, safe='')}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MarketUnreachable(kind_of_loss(error)) from error
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise MarketUnreachable(f"http_{answer.status}")
        outcome = _stored(answer.body, key=key, verb=verb, subject=subject)
        if outcome is None:
            raise MarketUnreachable("an operation is not as the contract says")
        return outcome

    async def received(self, since: datetime | None) -> Sequence[StoredOperation]:
        """What the marketplace received since then, all pages of it.

        Raises:
            MarketUnreachable: it could not be asked.
        """
        found: list[StoredOperation] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            try:
                page = await self.operations(since=since, cursor=cursor)
            except SubjectNotFound:
                # No such list here: what we sent can still be looked up key by key.
                return found
            for one in page.operations:
                if one.verb not in _VERBS:
                    continue
                verb = Verb(one.verb)
                found.append(
                    StoredOperation(
                        key=one.key,
                        verb=verb,
                        subject=Subject(VERB_SUBJECT[verb], one.subject_id),
                        is_done=_STATES.get(one.state) is OutcomeKind.SUCCEEDED,
                    )
                )
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def retry_steps(self, key: str, *, verb: Verb | None = None) -> Outcome:
        """Run the failed steps of a partly succeeded operation again."""
        try:
            answer = await self._post(
                f"/v1/operations/{quote(key, safe='')}/retry", None, key, None
            )
        except aiohttp.ClientConnectorError:
            return Outcome(kind=OutcomeKind.NOT_DONE, code="unreachable")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(kind=OutcomeKind.UNKNOWN, code=kind_of_loss(error))
        return _outcome(answer, key=key, verb=verb)

    async def operations(
        self, since: datetime | None = None, cursor: str | None = None
    ) -> OperationsPage:
        """One page of what the marketplace received, in that order.

        Raises:
            MarketUnreachable: no answer, or not as the contract says.
        """
        params: dict[str, str | int] = {}
        if since is not None:
            params["since"] = since.isoformat()
        if cursor is not None:
            params["cursor"] = cursor
        body = await self._ask("/v1/operations", params)
        try:
            return OperationsPage(
                operations=tuple(
                    ReceivedOperation(
                        key=str(entry["idempotency_key"]),
                        verb=str(entry["kind"]),
                        subject_id=str(entry["subject_id"]),
                        state=str(entry["state"]),
                        received_at=datetime.fromisoformat(entry["received_at"]),
                    )
                    for entry in body["operations"]
                ),
                next_cursor=_optional_text(body.get("next_cursor")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MarketUnreachable("operations are not as the contract says") from error

    async def _ask(self, path: str, params: Mapping[str, str | int] = NO_PARAMS) -> Any:
        try:
            answer = await self._get(path, params)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise MarketUnreachable(kind_of_loss(error)) from error
        if answer.status == 404:
            raise SubjectNotFound(path)
        if answer.status != 200 or answer.body is None:
            raise MarketUnreachable(f"http_{answer.status}")
        return answer.body

    async def _get(self, path: str, params: Mapping[str, str | int] = NO_PARAMS) -> Answer:
        async with self._session.get(
            self._base_url + path,
            params=dict(params),
            headers=self._headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
        ) as response:
            return await read_answer(response)

    async def _post(
        self, path: str, body: Mapping[str, object] | None, key: str, timeout_s: float | None
    ) -> Answer:
        async with self._session.post(
            self._base_url + path,
            json=body,
            headers={**self._headers, "Idempotency-Key": key},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout_s or self._timeout_s),
        ) as response:
            return await read_answer(response)


def verb_path(verb: Verb) -> str:
    """The last part of the address that a verb is sent to."""
    return _VERB_PATHS.get(verb, verb.value)


def subject_path(subject: Subject) -> str | None:
    """Where the subject lives; None if no address can hold its id: dots would climb to another path."""
    if subject.id in {"", ".", ".."}:
        return None
    try:
        return f"/v1/{_PATHS[subject.kind]}/{quote(subject.id, safe='')}"
    except UnicodeEncodeError:
        return None


def _outcome(
    answer: Answer, *, key: str, verb: Verb | None = None, subject: Subject | None = None
) -> Outcome:
    """What an answer to a POST means; only what the contract documents counts as not executed."""
    status, body = answer.status, answer.body
    if status in {200, 202}:
        outcome = _stored(body, key=key, verb=verb, subject=subject)
        return outcome or Outcome(kind=OutcomeKind.UNKNOWN, code="unreadable_answer")
    code, message = _problem(body)
    if status == 429 or (status == 503 and answer.retry_after_s is not None):
        return Outcome(
            kind=OutcomeKind.NOT_DONE,
            code=code or f"http_{status}",
            message=message,
            retry_after_s=answer.retry_after_s,
        )
    if status == 409 and code == "in_progress":
        return Outcome(kind=OutcomeKind.IN_PROGRESS, code=code, message=message)
    if status in {401, 403}:
        return Outcome(kind=OutcomeKind.REFUSED, code="unauthorized", message=message)
    if status in {400, 404, 409, 422} and code is not None:
        return Outcome(kind=OutcomeKind.REFUSED, code=code, message=message)
    return Outcome(kind=OutcomeKind.UNKNOWN, code=f"http_{status}")


def _stored(
    body: Any, *, key: str, verb: Verb | None = None, subject: Subject | None = None
) -> Outcome | None:
    """An operation as the contract writes it; None if it is not one, or not the one that we asked about."""
    try:
        if body["idempotency_key"] != key:
            return None
        if verb is not None and body["kind"] != verb.value:
            return None
        if subject is not None and body["subject_id"] != subject.id:
            return None
        code, message = _problem(body.get("failure"))
        return Outcome(
            kind=_STATES[body["state"]],
            code=code,
            message=message,
            steps=tuple(_step(step) for step in body.get("steps") or ()),
            before=dict(body.get("before") or {}),
            after=dict(body.get("after") or {}),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _plan(body: Mapping[str, Any], verb: Verb, subject: Subject) -> Plan:
    if body["kind"] != verb.value or body["subject_id"] != subject.id:
        raise ValueError("another plan")
    code, message = _problem(body.get("refusal"))
    return Plan(
        verb=verb,
        subject=subject,
        allowed=_bool(body["allowed"]),
        reversible=_bool(body["reversible"]),
        token=_text(body["plan_token"]),
        refusal_code=code,
        refusal_message=message,
        currency=_optional_text(body.get("currency")),
        refund_amount=_optional_int(body.get("refund_amount")) or 0,
        withheld_amount=_optional_int(body.get("withheld_amount")) or 0,
        refund_route=_optional_text(body.get("refund_route")) or "none",
        steps=tuple(_step(step) for step in body["steps"]),
        affects=tuple(
            Affected(
                kind=_text(one["kind"]),
                id=_text(one["id"]),
                summary=_optional_text(one.get("summary")),
            )
            for one in body.get("affects") or ()
        ),
        messages=tuple(
            PlanMessage(
                to=_text(one["to"]),
                subject=_optional_text(one.get("subject")),
                body=_text(one["body"]),
            )
            for one in body.get("messages") or ()
        ),
    )


def _step(step: Mapping[str, Any]) -> PlanStep:
    return PlanStep(
        name=_text(step["name"]),
        state=StepState(step["state"]),
        detail=_optional_text(step.get("detail")),
        amount=_optional_int(step.get("amount")),
    )


def _problem(body: Any) -> tuple[str | None, str | None]:
    if not isinstance(body, dict) or not isinstance(body.get("code"), str):
        return None, None
    message = body.get("message")
    return body["code"], message if isinstance(message, str) else None


# Strict on purpose: an answer that is nearly as the contract says is not understood, and so not believed.


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _bool(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _int(value: object) -> int:
    # bool is an int in Python, but not in JSON.
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("no whole number")
    return value


def _optional_int(value: object) -> int | None:
    return None if value is None else _int(value)
