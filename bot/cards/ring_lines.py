"""What joins the members of a case, in words: on the card, in its details and in its thread."""

from __future__ import annotations

from collections.abc import Iterable

from bot.cards.wording import case_name, count_of
from bot.domain.cases import CaseView
from bot.domain.rings import LinkKind
from bot.domain.subjects import Subject, SubjectKind
from bot.locale import N_, Messages

_KINDS = {
    LinkKind.CARD: N_("card"),
    LinkKind.DEVICE: N_("device"),
    LinkKind.ADDRESS: N_("address"),
    LinkKind.PAYOUT: N_("payout account"),
    LinkKind.IP: N_("IP address"),
    LinkKind.IMAGE: N_("image"),
    LinkKind.FOLLOW: N_("followed account"),
}
_CASES = 4


def link_words(kinds: Iterable[LinkKind], messages: Messages) -> str:
    """What is shared, the strongest first."""
    return messages.series([messages.t(_KINDS[kind]) for kind in kinds])


def ring_line(view: CaseView, messages: Messages) -> str:
    """One line of the card: how many are joined, and by what; empty where nobody is."""
    if view.ring is None or len(view.ring.accounts) < 2:
        return ""
    linked = {Subject(SubjectKind.ORDER, id_) for id_ in view.ring.orders}
    orders = sum(member.subject in linked for member in view.members)
    who = [count_of(SubjectKind.ACCOUNT, len(view.ring.accounts), messages)]
    if orders:
        who.append(count_of(SubjectKind.ORDER, orders, messages))
    return messages.t(
        "Ring: {who}, joined by {kinds}",
        who=messages.all_of(who),
        kinds=link_words(view.ring.kinds, messages),
    )


def tied_line(view: CaseView, messages: Messages) -> str:
    """Other open cases that are about the same ring; each is decided by itself."""
    if view.ring is None or not view.ring.tied:
        return ""
    names = [case_name(case_id) for case_id in view.ring.tied[:_CASES]]
    if len(view.ring.tied) > _CASES:
        left = len(view.ring.tied) - _CASES
        names.append(messages.n("and {count} more", "and {count} more", left))
    return messages.t("The same ring: {cases}, decided separately", cases=messages.series(names))


def linked_by(view: CaseView, subject: Subject, messages: Messages) -> str:
    """What a member shares with others of the case; empty where that is nothing."""
    if view.ring is None:
        return ""
    return link_words(view.ring.kinds_of(subject), messages)


def picture_title(view: CaseView, messages: Messages) -> str:
    """The name of the ring's picture in the thread, which says in words what it shows."""
    return messages.t(
        "{case}: {ring}", case=case_name(view.case_id), ring=ring_line(view, messages)
    )


def account_mark(view: CaseView, account_id: str) -> bool:
    """Whether the case knows an account as a seller's."""
    subject = Subject(SubjectKind.ACCOUNT, account_id)
    return any(member.subject == subject and member.facts.is_seller for member in view.members)
