"""What a shop's own answers mean under its verb map; what the map does not explain is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bot.domain.outcomes import Outcome, OutcomeKind
from bot.domain.plans import Plan
from bot.domain.verbs import Verb
from bot.market.answers import Answer
from bot.market.marketplace import MarketUnreachable
from bot.market.templates import at, same, smallest_unit
from bot.market.verb_map import Lookup, MappedVerb, Preview, Refused, Success, Where

_LONGEST = 500


def outcome(mapped: MappedVerb, answer: Answer) -> Outcome:
    """What an answer to a send means."""
    status = answer.status
    if status in mapped.nothing_done and answer.retry_after_s is not None:
        return Outcome(
            kind=OutcomeKind.NOT_DONE, code=f"http_{status}", retry_after_s=answer.retry_after_s
        )
    for rule in mapped.refused:
        refusal = _refusal(mapped, rule, answer)
        if refusal is not None:
            return refusal
    if status in {401, 403}:
        return Outcome(kind=OutcomeKind.REFUSED, code="unauthorized")
    if mapped.pending is not None and _is(mapped.pending, answer):
        return Outcome(kind=OutcomeKind.PENDING)
    if _is(mapped.success, answer):
        return Outcome(kind=OutcomeKind.SUCCEEDED)
    return Outcome(kind=OutcomeKind.UNKNOWN, code=f"http_{status}")


def looked_up(mapped: MappedVerb, lookup: Lookup, answer: Answer) -> Outcome | None:
    """What an answer to a look-up means; None: the shop has not received the operation so far.

    Raises:
        MarketUnreachable: the map does not explain it.
    """
    if lookup.by == "operation" and answer.status in lookup.missing:
        return None
    if answer.status != 200 or answer.body is None:
        raise MarketUnreachable(f"http_{answer.status}")
    if lookup.by == "state":
        _must_lead_somewhere(lookup.done, answer.body)
    if _holds(lookup.done, answer.body):
        return Outcome(kind=OutcomeKind.SUCCEEDED)
    if lookup.by == "state":
        return None
    if lookup.refused and _holds(lookup.refused, answer.body):
        return Outcome(
            kind=OutcomeKind.REFUSED,
            code=_code(mapped, _text_at(answer.body, lookup.code)),
            message=_text_at(answer.body, lookup.message),
        )
    if lookup.under_way and _holds(lookup.under_way, answer.body):
        return Outcome(kind=OutcomeKind.PENDING)
    if lookup.missing_where and _holds(lookup.missing_where, answer.body):
        return None
    raise MarketUnreachable("the verb map does not explain the answer to a look-up")


def preview(
    plan: Plan, mapped: MappedVerb, answer: Answer, params: Mapping[str, str | int]
) -> Plan:
    """The plan, completed with what the shop shows of the subject.

    Raises:
        MarketUnreachable: the answer is not as the map says.
    """
    rules = mapped.plan
    if rules is None:
        return plan
    if answer.status != 200 or answer.body is None:
        raise MarketUnreachable(f"http_{answer.status}")
    _must_lead_somewhere(rules.allowed, answer.body)
    plan = replace(
        plan,
        token=_token(rules, answer.body),
        currency=_currency(rules, answer.body),
        refund_amount=_amount(rules, rules.refund_amount, answer.body),
        withheld_amount=_amount(rules, rules.withheld_amount, answer.body),
        refund_route=_route(rules, answer.body),
    )
    if not _holds(rules.allowed, answer.body):
        pointer = rules.code or _first_unmet(rules.allowed, answer.body)
        code = _code(mapped, _text_at(answer.body, pointer))
        return forbidden(plan, code, _text_at(answer.body, rules.message))
    return _within_what_is_left(plan, params) if plan.verb is Verb.REFUND else plan


def forbidden(plan: Plan, code: str | None, message: str | None) -> Plan:
    """The plan of something that cannot be done now."""
    return replace(plan, allowed=False, refusal_code=code, refusal_message=message)


def _within_what_is_left(plan: Plan, params: Mapping[str, str | int]) -> Plan:
    left = plan.refund_amount
    wanted = params.get("amount", left)
    if left <= 0:
        return forbidden(plan, "already_refunded", None)
    if not isinstance(wanted, int) or not 0 < wanted <= left:
        return forbidden(plan, "amount_exceeds_paid", None)
    return replace(plan, refund_amount=wanted)


def _refusal(mapped: MappedVerb, rule: Refused, answer: Answer) -> Outcome | None:
    if answer.status not in rule.status or not _holds(rule.where, answer.body):
        return None
    code = _text_at(answer.body, rule.code)
    if rule.code is not None and code is None:
        # Not the shop's own refusal, but some page on the way that has the same status.
        return None
    if code is None:
        code = "not_found" if answer.status == 404 else f"http_{answer.status}"
    return Outcome(
        kind=OutcomeKind.REFUSED,
        code=_code(mapped, code),
        message=_text_at(answer.body, rule.message),
    )


def _is(success: Success, answer: Answer) -> bool:
    if answer.status not in success.status:
        return False
    if answer.body is None:
        return not success.where and (answer.status == 204 or success.any_body)
    return _holds(success.where, answer.body)


def _holds(where: Where, document: object) -> bool:
    return _first_unmet(where, document) is None


def _first_unmet(where: Where, document: object) -> str | None:
    for pointer, wanted in where.items():
        try:
            found = at(document, pointer)
        except LookupError:
            return pointer
        if not any(
            same(found, one) for one in (wanted if isinstance(wanted, tuple) else (wanted,))
        ):
            return pointer
    return None


def _must_lead_somewhere(where: Where, document: object) -> None:
    for pointer in where:
        try:
            at(document, pointer)
        except LookupError as error:
            raise MarketUnreachable(f"an answer has nothing at {pointer}") from error


def _code(mapped: MappedVerb, code: str | None) -> str | None:
    return None if code is None else mapped.codes.get(code, code)


def _text_at(document: object, pointer: str | None) -> str | None:
    """A text or number there, cut to length; None for anything else."""
    if pointer is None:
        return None
    try:
        found = at(document, pointer)
    except LookupError:
        return None
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        return None
    return str(found)[:_LONGEST]


def _needed(document: object, pointer: str) -> str:
    found = _text_at(document, pointer)
    if found is None:
        raise MarketUnreachable(f"an answer has no text at {pointer}")
    return found


def _token(rules: Preview, document: object) -> str | None:
    return None if rules.token is None else _needed(document, rules.token)


def _currency(rules: Preview, document: object) -> str | None:
    return None if rules.currency is None else _needed(document, rules.currency)


def _route(rules: Preview, document: object) -> str:
    if rules.refund_route is None:
        return "none"
    word = _needed(document, rules.refund_route.pointer)
    route = rules.refund_route.values.get(word)
    if route is None:
        raise MarketUnreachable(f"the verb map does not know the way of paying {word[:40]!r}")
    return route


def _amount(rules: Preview, pointer: str | None, document: object) -> int:
    if pointer is None:
        return 0
    try:
        found = at(document, pointer)
    except LookupError as error:
        raise MarketUnreachable(f"an answer has no amount at {pointer}") from error
    amount: int | None
    if rules.money == "decimal":
        amount = smallest_unit(found, _currency(rules, document) or "")
    else:
        amount = found if isinstance(found, int) and not isinstance(found, bool) else None
    if amount is None or amount < 0:
        raise MarketUnreachable(f"an answer has no amount at {pointer}")
    return amount
