"""What the marketplace's plans mean, in sentences: money, what can be undone, messages, whom else it touches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bot.cards.wording import (
    market_reason,
    subject_id,
    verb_name,
)
from bot.domain.cases import CaseView
from bot.domain.plans import Plan, PlanMessage, PlanStep, StepState
from bot.domain.subjects import Subject
from bot.domain.text import user_text
from bot.domain.verbs import Verb
from bot.locale import N_, Messages

_MESSAGES = 4
_LINES = 8

_ROUTES = {
    "card": N_("card payments"),
    "wallet": N_("wallet payments"),
    "carrier": N_("carrier billing"),
    "points": N_("points"),
    "bank_transfer": N_("bank transfer"),
}

_METHODS = {
    "card": N_("card payments"),
    "konbini": N_("convenience store payments"),
    "bank_transfer": N_("bank transfer"),
    "carrier": N_("carrier billing"),
    "wallet": N_("wallet payments"),
    "points": N_("points"),
}

_STEPS = {
    "stop_shipment": N_("stop the shipment"),
    "void_payment": N_("void the payment"),
    "refund_payment": N_("return the payment"),
    "withhold_payment": N_("withhold the payment"),
    "restore_stock": N_("restore the stock"),
    "restore_coupon": N_("restore the coupon"),
    "restore_points": N_("restore the points"),
    "hold_payout": N_("hold the payout"),
    "release_payout": N_("release the payout"),
    "hide_post": N_("hide the post"),
    "show_post": N_("show the post"),
    "remove_follows": N_("remove the follows"),
    "end_sessions": N_("end the log-ins"),
    "hide_listings": N_("hide the listings"),
    "notify_account": N_("tell the account holder"),
    "notify_buyer": N_("tell the {buyer}"),
    "notify_seller": N_("tell the {seller}"),
}

_STEP_STATES = {
    StepState.PLANNED: N_("planned"),
    StepState.DONE: N_("done"),
    StepState.SKIPPED: N_("skipped"),
    StepState.FAILED: N_("failed"),
}

_UNDONE = {
    Verb.CANCEL: N_("A forced cancel cannot be undone."),
    Verb.REFUND: N_("A refund cannot be undone."),
    Verb.SUSPEND: N_("A suspension cannot be undone."),
    Verb.REMOVE_FOLLOWS: N_("Removed follows cannot be restored."),
}
_UNDOABLE = {
    Verb.HOLD: N_("A hold can be released later."),
    Verb.SUSPEND: N_("A suspension can be lifted later."),
    Verb.REINSTATE: N_("The accounts can be suspended again later."),
    Verb.TAKEDOWN: N_("A takedown can be restored later."),
    Verb.REMOVE_POST: N_("Removed posts can be shown again later."),
    Verb.RELEASE: N_("The orders can be held again, as long as they are not shipped."),
}


def money_sentences(
    plans: Collection[Plan], methods: Mapping[Subject, str | None], messages: Messages
) -> Iterator[str]:
    """What goes back by which way, and what is kept of which way of paying, per currency."""
    back: dict[tuple[str, str], list[int]] = {}
    kept: dict[tuple[str, str], list[int]] = {}
    for plan in plans:
        currency = plan.currency or "?"
        if plan.refund_amount > 0:
            back.setdefault((plan.refund_route, currency), []).append(plan.refund_amount)
        if plan.withheld_amount > 0:
            method = methods.get(plan.subject) or ""
            kept.setdefault((method, currency), []).append(plan.withheld_amount)
    for (route, currency), amounts in back.items():
        yield messages.n(
            "{count} order: {money} goes back ({route}).",
            "{count} orders: {money} goes back ({route}).",
            len(amounts),
            money=messages.money(sum(amounts), currency),
            route=_known(_ROUTES, route, messages),
        )
    for (method, currency), amounts in kept.items():
        money = messages.money(sum(amounts), currency)
        if method:
            yield messages.n(
                "{count} order: {money} is withheld until a separate decision ({method}).",
                "{count} orders: {money} is withheld until a separate decision ({method}).",
                len(amounts),
                money=money,
                method=_known(_METHODS, method, messages),
            )
        else:
            yield messages.n(
                "{count} order: {money} is withheld until a separate decision.",
                "{count} orders: {money} is withheld until a separate decision.",
                len(amounts),
                money=money,
            )


def methods_of(view: CaseView) -> dict[Subject, str | None]:
    """How each member was paid for."""
    return {member.subject: member.facts.payment_method for member in view.members}


def _known(words: Mapping[str, str], key: str, messages: Messages) -> str:
    return messages.t(words[key]) if key in words else user_text(key, 40)


def undo_sentences(plans: Collection[Plan], messages: Messages) -> Iterator[str]:
    """What can be taken back and what cannot, as the marketplace says."""
    for verb in dict.fromkeys(plan.verb for plan in plans):
        reversible = all(plan.reversible for plan in plans if plan.verb is verb)
        known = (_UNDOABLE if reversible else _UNDONE).get(verb)
        if known:
            yield messages.t(known)
        elif not reversible:
            yield messages.t("Cannot be undone: {verb}.", verb=verb_name(verb, messages))


def final_sentences(verbs: Iterable[Verb], messages: Messages) -> Iterator[str]:
    """What of that which was done nobody can undo from here."""
    for verb in verbs:
        if verb in _UNDONE and verb not in _UNDOABLE:
            yield messages.t(_UNDONE[verb])


def foretold_sentences(plans: Collection[Plan], messages: Messages) -> Iterator[str]:
    """Where the marketplace shows no plan: what its own people wrote down, and that this is all we know."""
    unshown = {plan.verb: plan.foretold for plan in plans if plan.foretold is not None}
    told = (messages.pick(foretold.ja, foretold.en) for foretold in unshown.values())
    yield from (user_text(words, 300) for words in dict.fromkeys(told) if words)
    if unshown:
        yield messages.t(
            "The marketplace shows no plan for this ({verbs}): which messages it sends and whom else it"
            " touches is not known here.",
            verbs=messages.series(verb_name(verb, messages) for verb in unshown),
        )


def by_hand_sentences(
    plans: Collection[Plan], by_hand: Collection[Verb], messages: Messages
) -> Iterator[str]:
    """Which of the verbs the bot cannot carry out itself."""
    verbs = [verb for verb in dict.fromkeys(plan.verb for plan in plans) if verb in by_hand]
    if verbs:
        yield messages.t(
            "People do this in the back office ({verbs}): once it is decided, the card links there and"
            " asks what was done.",
            verbs=messages.series(verb_name(verb, messages) for verb in verbs),
        )


def affected_lines(plans: Collection[Plan], messages: Messages) -> list[str]:
    """Others whom it touches, such as open orders of honest buyers; not what it is done to anyway."""
    own = {(plan.subject.kind.value, plan.subject.id) for plan in plans}
    seen = {(a.kind, a.id): a for plan in plans for a in plan.affects if (a.kind, a.id) not in own}
    lines = [
        f"{user_text(a.id, 60)} — {user_text(a.summary, 150)}" if a.summary else user_text(a.id, 60)
        for a in seen.values()
    ]
    return _some(lines, messages)


def refused_lines(plans: Collection[Plan], messages: Messages) -> list[str]:
    """Members with which the marketplace would not do it, and why."""
    return _some(
        [
            messages.t(
                "{id}: {reason}",
                id=subject_id(plan.subject),
                reason=market_reason(plan.refusal_code, plan.refusal_message, messages),
            )
            for plan in plans
            if not plan.allowed
        ],
        messages,
    )


def message_texts(plans: Sequence[Plan], messages: Messages) -> list[str]:
    """What buyer and seller will be sent; the same words to many are shown once, for the first of them."""
    sent: dict[tuple[str, str, str], list[PlanMessage]] = {}
    for plan in plans:
        for message in plan.messages:
            said = (message.subject or "", message.body)
            title, body = (words.replace(plan.subject.id, "\0") for words in said)
            sent.setdefault((message.to, title, body), []).append(message)
    texts = []
    for (to, _, _), same in list(sent.items())[:_MESSAGES]:
        count, subject, body = len(same), same[0].subject, same[0].body
        head = messages.n(
            "Message to the {whom}:",
            "{count} messages to {whom}:",
            count,
            whom=_whom(to, count, messages),
        )
        title = user_text(subject, 150) + "\n" if subject else ""
        texts.append(f"{head}\n{title}{user_text(body, 600)}")
    if len(sent) > _MESSAGES:
        left = len(sent) - _MESSAGES
        texts.append(messages.n("and {count} more message", "and {count} more messages", left))
    return texts


def step_words(steps: Collection[PlanStep], messages: Messages, currency: str | None) -> str:
    """The steps of one operation and how each stands."""
    return messages.dots(
        messages.t(
            "{step}: {state}",
            step=_step_name(step, messages)
            + (f" {messages.money(step.amount, currency)}" if step.amount else ""),
            state=messages.t(_STEP_STATES[step.state]),
        )
        for step in steps
    )


def _step_name(step: PlanStep, messages: Messages) -> str:
    return _known(_STEPS, step.name, messages)


def _whom(to: str, count: int, messages: Messages) -> str:
    if to == "account":
        return messages.n("account holder", "account holders", count)
    key = {"buyer": "buyer", "seller": "seller"}.get(to)
    if key is None:
        return user_text(to, 40)
    return messages.glossary[key if count == 1 else f"{key}s"]


def _some(lines: list[str], messages: Messages) -> list[str]:
    if len(lines) <= _LINES:
        return lines
    left = len(lines) - _LINES
    return [*lines[:_LINES], messages.n("and {count} more", "and {count} more", left)]
