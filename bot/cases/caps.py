"""Caps: how much may be decided within an hour or a day, taken inside the decision's own transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.policy import Cap, Policy
from bot.cases.targets import Target
from bot.domain.cases import CapLeft, CaseView
from bot.domain.plans import Plan
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.subjects import Subject, SubjectKind
from bot.domain.verbs import Verb
from bot.ledger import caps
from bot.ledger.caps import CapEntry, Taken

WINDOWS_S = {"hour": 3600.0, "day": 24 * 3600.0}
_MOVES_MONEY = frozenset({Verb.CANCEL, Verb.REFUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leeway:
    """What the caps leave: to the person who presses, and to anybody."""

    own: Refusal | None = None
    """Over a cap of the person's own: another person must decide."""
    refusal: Refusal | None = None
    """Over a cap that no second person lifts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """Whose sum a cap looks at; nothing set: everybody's together."""

    user_id: str | None = None
    subject: Subject | None = None
    account_id: str | None = None


def entries_of(
    view: CaseView, targets: Collection[Target], plans: Collection[Plan]
) -> tuple[CapEntry, ...]:
    """What a decision over these targets takes, one entry a subject."""
    facts = {member.subject: member.facts for member in view.members}
    planned = {(plan.verb, plan.subject): plan for plan in plans}
    found: dict[Subject, CapEntry] = {}
    for verb, subject in targets:
        known = facts.get(subject)
        amount, currency = 0, ""
        if verb in _MOVES_MONEY:
            plan = planned.get((verb, subject))
            amount = (known.amount if known else None) or 0
            if verb is Verb.REFUND and plan is not None:
                amount = plan.refund_amount
            currency = (
                (plan.currency if plan else None) or (known.currency if known else None) or "?"
            )
        account = subject.id if subject.kind is SubjectKind.ACCOUNT else None
        if known is not None and account is None:
            account = known.buyer_id or known.seller_id
        entry = CapEntry(subject=subject, account_id=account, amount=amount, currency=currency)
        if subject not in found or entry.amount > found[subject].amount:
            found[subject] = entry
    return tuple(found.values())


async def leeway_for(
    conn: AsyncConnection,
    policy: Policy,
    action: str,
    user_id: str,
    entries: Sequence[CapEntry],
    *,
    own_only: bool = False,
) -> Leeway:
    """Whether the caps leave room for these entries; call it under `lock_caps`.

    Args:
        own_only: of the person's own caps alone, as for an approval of what was counted when it was asked for.
    """
    own: Refusal | None = None
    for cap in policy.file.caps:
        if action not in cap.actions or (own_only and cap.per != "person"):
            continue
        for scope, mine in _scopes(cap, user_id, entries):
            taken = await caps.read_taken(
                conn,
                cap.actions,
                WINDOWS_S[cap.window],
                user_id=scope.user_id,
                subject=scope.subject,
                account_id=scope.account_id,
            )
            refusal = _over(cap, action, taken, mine)
            if refusal is None:
                continue
            # Nobody set a limit for this currency: two people must look, as everywhere.
            if cap.per == "person" or refusal.reason == "currency":
                own = own or refusal
            else:
                return Leeway(own=own, refusal=refusal)
    return Leeway(own=own)


def _scopes(
    cap: Cap, user_id: str, entries: Sequence[CapEntry]
) -> Iterator[tuple[_Scope, list[CapEntry]]]:
    """Whose sum a cap looks at, and which of the entries add to it."""
    match cap.per:
        case "person":
            yield _Scope(user_id=user_id), list(entries)
        case "action":
            yield _Scope(), list(entries)
        case "subject":
            for entry in entries:
                yield _Scope(subject=entry.subject), [entry]
        case "account":
            by_account: dict[str, list[CapEntry]] = defaultdict(list)
            for entry in entries:
                if entry.account_id is not None:
                    by_account[entry.account_id].append(entry)
            for account_id, mine in by_account.items():
                yield _Scope(account_id=account_id), mine


def _over(cap: Cap, action: str, taken: Taken, entries: Sequence[CapEntry]) -> Refusal | None:
    frees_at = (
        taken.oldest_at + timedelta(seconds=WINDOWS_S[cap.window]) if taken.oldest_at else None
    )
    if cap.count is not None and taken.count + len(entries) > cap.count:
        return Refusal(
            code=RefusalCode.CAP_REACHED,
            action=action,
            reason=cap.per,
            detail=cap.window,
            count=max(cap.count - taken.count, 0),
            at=frees_at,
        )
    sums: dict[str, int] = {}
    for entry in entries:
        if entry.amount:
            sums[entry.currency] = sums.get(entry.currency, 0) + entry.amount
    for currency, amount in sums.items():
        if cap.amount is None:
            break
        if currency not in cap.amount:
            return Refusal(code=RefusalCode.CAP_REACHED, action=action, reason="currency")
        left = cap.amount[currency] - taken.amounts.get(currency, 0)
        if amount > left:
            return Refusal(
                code=RefusalCode.CAP_REACHED,
                action=action,
                reason=cap.per,
                detail=cap.window,
                amount=max(left, 0),
                currency=currency,
                at=frees_at,
            )
    return None


async def earlier_alone(
    conn: AsyncConnection, action: str, entries: Sequence[CapEntry]
) -> dict[str, int]:
    """What single people decided for the same subjects or owners within a day, by currency."""
    return await caps.read_decided_alone(
        conn,
        action,
        [entry.subject for entry in entries],
        [entry.account_id for entry in entries if entry.account_id is not None],
        WINDOWS_S["day"],
    )


async def caps_left(
    conn: AsyncConnection, policy: Policy, actions: Collection[str], user_id: str | None = None
) -> tuple[CapLeft, ...]:
    """What the caps of these actions leave: those that everybody shares, and with `user_id` that person's own."""
    found: list[CapLeft] = []
    for cap in policy.file.caps:
        if not set(cap.actions) & set(actions):
            continue
        own = cap.per == "person"
        if cap.per != "action" and not (own and user_id is not None):
            continue
        taken = await caps.read_taken(
            conn, cap.actions, WINDOWS_S[cap.window], user_id=user_id if own else None
        )
        found.append(
            CapLeft(
                actions=tuple(name for name in cap.actions if name in actions),
                window=cap.window,
                own=own,
                count=None if cap.count is None else max(cap.count - taken.count, 0),
                amounts=tuple(
                    (max(limit - taken.amounts.get(currency, 0), 0), currency)
                    for currency, limit in (cap.amount or {}).items()
                ),
            )
        )
    return tuple(found)
