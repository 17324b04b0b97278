"""Why something was not done, in one or two sentences that say what to do next."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from bot.cards.wording import (
    ROLES,
    action_name,
    actor_name,
    case_name,
    list_name,
    market_reason,
    mention_groups,
    mode_name,
    scope_name,
    status_name,
)
from bot.domain.proposals import ALL
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.text import escape
from bot.locale import N_, Messages

_OUR_LINK = re.compile(r"https?://[A-Za-z0-9._~:/\[\]-]{1,400}/step-up/[A-Za-z0-9_-]{20,100}")


def refusal_sentence(
    refusal: Refusal, messages: Messages, tz: tzinfo, *, now: datetime | None = None
) -> str:
    """The refusal as mrkdwn for the one who pressed; everything in it from people is escaped."""
    t = messages.t
    when = escape(messages.moment(refusal.at, tz, now)) if refusal.at is not None else None
    match refusal.code:
        case RefusalCode.STALE:
            return _stale(refusal, messages, when)
        case RefusalCode.NO_ROLE:
            return _no_role(refusal, messages)
        case RefusalCode.UNKNOWN_PERSON:
            return t(
                "You are not known here yet. Your account is being looked up: please try again in a minute."
            )
        case RefusalCode.GUEST:
            return t("Only members of this workspace can do this, not guests or bots.")
        case RefusalCode.ROLES_TOO_OLD:
            return t(
                "Your permissions could not be checked just now, so nothing was done."
                " Please try again in a minute."
            )
        case RefusalCode.OWN_REQUEST:
            return t(
                "You cannot approve what you asked for or opened yourself. Please ask another approver."
            )
        case RefusalCode.ALREADY_APPROVED:
            return t("You have approved this already. Another person must approve it too.")
        case RefusalCode.PAUSED:
            return _paused(refusal, messages, when)
        case RefusalCode.STEP_UP:
            return step_up_sentence(refusal.detail, messages)
        case RefusalCode.LINK_ENDED:
            return t(
                "This link was used already or has run out. Press “Approve” on the card again to get a new one."
            )
        case RefusalCode.EXPIRED:
            if when is not None:
                return t(
                    "The request ran out at {when}. Please request it again if it is still needed.",
                    when=when,
                )
            return t("The request ran out. Please request it again if it is still needed.")
        case RefusalCode.CASE_CLOSED:
            return t("This has been decided already. The card shows how.")
        case RefusalCode.NOT_OFFERED:
            return t(
                "The marketplace does not offer this: {action}.",
                action=escape(action_name(refusal.action, messages)),
            )
        case RefusalCode.PLAN_REFUSED:
            return t(
                "The marketplace does not allow it now: {reason}.",
                reason=_market_words(refusal.detail, messages),
            )
        case RefusalCode.PLAN_CHANGED:
            return t("The situation changed meanwhile, so nothing was done. Please open it again.")
        case RefusalCode.NOTHING_TO_DO:
            return t("There is nothing left that this could do.")
        case RefusalCode.CASE_NOT_FOUND:
            name = case_name(refusal.case_id) if refusal.case_id is not None else refusal.detail
            return t(
                "There is no case {case}. The open ones: `/cre queue`.", case=escape(name or "", 60)
            )
        case RefusalCode.SUBJECT_NOT_FOUND:
            if not refusal.detail:
                return t("The marketplace does not know these any more.")
            return t(
                "The marketplace knows nothing with the id {id}. Please check it.",
                id=escape(refusal.detail, 60),
            )
        case RefusalCode.MARKET_UNREACHABLE:
            return t(
                "The marketplace does not answer just now, so nothing was done."
                " Please try again in a minute."
            )
        case RefusalCode.ALREADY_WAITING:
            return t(
                "A request for this case waits for approval already. It must be decided first."
            )
        case RefusalCode.BUSY:
            return t(
                "Operations of this case are under way. Please wait until the card shows their end."
            )
        case RefusalCode.NEEDS_BANK_TRANSFER:
            return t(
                "The payment of this order can only be given back by a bank transfer, which cannot be"
                " done from here yet. Please ask accounting."
            )
        case RefusalCode.JUDGED_FRAUD:
            return t(
                "{id} was judged fraudulent. Its money goes back to the card alone, never by another"
                " way. Please ask an approver how it is to be decided.",
                id=escape(refusal.detail or "", 60),
            )
        case RefusalCode.TOO_LATE:
            return t(
                "It has begun already and cannot be taken back. What was not sent yet can still be"
                " stopped on the card."
            )
        case RefusalCode.QUEUE_EMPTY:
            return t("No case waits for somebody to take it. All open ones: `/cre queue`.")
        case RefusalCode.CHANGED_SINCE:
            return t(
                "{id} was changed by somebody else since ({status}), so it is not undone from here."
                " Please look in the back office.",
                id=escape(refusal.detail or "", 60),
                status=escape(messages.dots(_since(refusal, messages, when))),
            )
        case RefusalCode.NOT_YET:
            return t(
                "Your role is new and counts from {when} on. Until then, please ask a colleague.",
                when=when or "—",
            )
        case RefusalCode.BAD_DELEGATION:
            return t(_DELEGATIONS.get(refusal.detail or "", _DELEGATIONS["dates"]))
        case RefusalCode.BAD_LIST:
            return t(
                _LISTS.get(refusal.detail or "", _LISTS["words"]),
                count=refusal.count or 0,
                list=list_name(refusal.reason, messages),
            )
        case RefusalCode.OVER_LIMIT:
            return _over_limit(refusal, messages)
        case RefusalCode.CAP_REACHED:
            return _cap_reached(refusal, messages, when)
        case RefusalCode.ALREADY_PAUSED:
            return _already_paused(refusal, messages, when)
        case RefusalCode.NOT_PAUSED:
            return t(
                "This is not paused: {what}. There is nothing to resume.",
                what=escape(scope_name(refusal.action, messages)),
            )
        case RefusalCode.NO_REASON:
            return t(
                "Please write a reason of at least {count} characters.", count=refusal.count or 1
            )
        case RefusalCode.WRONG_WORD:
            return t("Please type “{word}” to confirm.", word=escape(refusal.detail or "", 40))
        case RefusalCode.OWN_PROPOSAL:
            return t(
                "You proposed or did this yourself, so another person must answer it. Please ask one."
            )
        case RefusalCode.OWN_DECISION:
            return t(
                "You made this decision or let it through yourself, so another person must overturn it."
            )
        case RefusalCode.OVERTURNED:
            return t("This decision was overturned already. The card's thread shows by whom.")
        case RefusalCode.PROPOSAL_ENDED:
            return t("This has been answered already, or it ran out. The message shows how.")
        case RefusalCode.NO_SUCH_DETECTION:
            asked = escape(refusal.detail or "—", 60)
            if refusal.reason:
                return t(
                    "There is no detection “{name}”. Did you mean “{near}”?",
                    name=asked,
                    near=escape(refusal.reason, 60),
                )
            return t(
                "There is no detection “{name}”. `/cre rules` shows those that there are.",
                name=asked,
            )
        case RefusalCode.SAME_MODE:
            return t(
                "The detection is in “{mode}” already, so nothing changes.",
                mode=escape(mode_name(refusal.detail, messages)),
            )
        case RefusalCode.ONLY_PEOPLE:
            return t(
                "A query is changed in Redash without anybody's approval, so it never acts by itself. Please have a file"
                " made of it first: `mimawari rules import-redash`."
            )
        case RefusalCode.NO_AUTOMATIC:
            return t(
                "The policy lets no detection act by itself: it has no section “automatic”."
                " Please ask an administrator."
            )
        case RefusalCode.NOT_PROVEN:
            return _not_proven(refusal, messages)
        case RefusalCode.UNKNOWN_BUTTON:
            return t(
                "This button is not in use any more, so nothing was done. Please use the buttons that the"
                " card shows now."
            )
        case RefusalCode.CONFLICT:
            return t(
                "Something else happened to this at the same moment, so nothing was done. Please look at it as"
                " it is now and press again."
            )
        case RefusalCode.TRY_AGAIN:
            return t("That took too long, so nothing was done. Please try again.")


def step_up_sentence(link: str | None, messages: Messages) -> str:
    """Where to sign in; the link is ours, and works once."""
    if link is None or not _OUR_LINK.fullmatch(link):
        return messages.t(
            "An amount like this can only be approved with a sign-in, and none is set up: nothing was"
            " done. Please tell whoever runs this app."
        )
    words = messages.t("sign in and approve")
    return messages.t(
        "For an amount like this you sign in once more: {link}. The link is for you alone, works once"
        " and for 10 minutes. Nothing is approved yet.",
        link=f"<{link}|{words}>",
    )


def _stale(refusal: Refusal, messages: Messages, when: str | None) -> str:
    if when is not None and refusal.by:
        return messages.t(
            "{name} changed this case at {when}. Please look at it as it is now and press again.",
            name=escape(actor_name(refusal.by, messages)),
            when=when,
        )
    if when is not None:
        return messages.t(
            "This case changed at {when}. Please look at it as it is now and press again.",
            when=when,
        )
    return messages.t("This case has changed. Please look at it as it is now and press again.")


def _no_role(refusal: Refusal, messages: Messages) -> str:
    what = escape(action_name(refusal.action, messages))
    known = [messages.t(ROLES[role]) for role in refusal.roles if role in ROLES]
    if not known:
        return messages.t(
            "Nobody may do this here ({action}): the policy names no role.", action=what
        )
    roles = messages.any_of(messages.t("“{role}”", role=escape(role)) for role in known)
    groups = mention_groups(refusal.groups)
    if groups:
        return messages.t(
            "{action} needs the role {roles}. Please ask {groups}.",
            action=what,
            roles=roles,
            groups=groups,
        )
    return messages.t(
        "{action} needs the role {roles}. Please ask your administrator.", action=what, roles=roles
    )


def _since(refusal: Refusal, messages: Messages, when: str | None) -> list[str]:
    """What it is now, and since when."""
    status = status_name(refusal.reason, messages) if refusal.reason else "—"
    return [status, *([when] if when else [])]


def _over_limit(refusal: Refusal, messages: Messages) -> str:
    what = escape(action_name(refusal.action, messages))
    groups = mention_groups(refusal.groups)
    if groups:
        return messages.t(
            "That is more money than your role may decide ({action}). Please ask {groups}.",
            action=what,
            groups=groups,
        )
    return messages.t(
        "That is more money than anybody may decide here ({action})."
        " Please ask your administrator.",
        action=what,
    )


_DELEGATIONS = {
    "dates": N_(
        "That was not understood. Please write `/cre delegate @name 2026-12-01 2026-12-05`:"
        " who stands in, and from which day until which."
    ),
    "self": N_("Nobody can stand in for themselves."),
    "past": N_("That time is over, or ends before it begins. Please check the days."),
    "long": N_("Nobody can be stood in for longer than 60 days at once."),
    "person": N_("Only members of this workspace can stand in, not guests or bots."),
    "nothing": N_("This person may approve nothing, so there is nothing to stand in for."),
    "outsider": N_("Only somebody who has a role here can stand in."),
}

_LISTS = {
    "words": N_(
        "That was not understood. Please write `/cre list allow account a-123 30d reason` (allow, deny or"
        " watch; account, card, address or host), or `/cre list remove account a-123`."
    ),
    "snooze": N_(
        "That was not understood. Please write `/cre snooze detection_name a-123 7d reason`,"
        " without the reason to see first what it would hide."
    ),
    "days": N_("Please write between 1 and {count} days, such as `7d`."),
    "there": N_("This stands on a list already ({list}). Take it off there first."),
    "gone": N_("This stands on no list."),
}

_CAPS = {
    "person": N_("what one person may decide"),
    "subject": N_("what may be decided about one subject"),
    "account": N_("what may be decided about one account"),
    "action": N_("what the whole team may decide"),
}


def _cap_reached(refusal: Refusal, messages: Messages, when: str | None) -> str:
    what = escape(action_name(refusal.action, messages))
    if refusal.reason == "currency":
        return messages.t(
            "There is no cap for this currency, so another person must decide ({action})."
            " Please ask an approver.",
            action=what,
        )
    if refusal.amount is not None:
        left = messages.money(refusal.amount, refusal.currency)
    else:
        left = messages.number(refusal.count or 0)
    cap = messages.t(_CAPS.get(refusal.reason or "", "")) if refusal.reason in _CAPS else ""
    if refusal.detail == "day":
        told = messages.t(
            "Over the cap of 24 hours for {cap} ({action}): {left} is left.",
            cap=cap,
            action=what,
            left=left,
        )
    else:
        told = messages.t(
            "Over the cap of one hour for {cap} ({action}): {left} is left.",
            cap=cap,
            action=what,
            left=left,
        )
    if refusal.reason == "person":
        ask = messages.t("Please ask another person to decide it.")
    elif when is not None:
        ask = messages.t("More is free from {when} on.", when=when)
    else:
        ask = messages.t("It must be split into less, or the policy changed.")
    return told + ("" if messages.locale == "ja" else " ") + ask


def _paused(refusal: Refusal, messages: Messages, when: str | None) -> str:
    reason = escape(messages.word(refusal.reason or "")) or messages.t("no reason given")
    what = escape(scope_name(refusal.action or ALL, messages))
    if when is not None and refusal.by:
        return messages.t(
            "{name} paused {what} at {when} (reason: {reason})."
            " Nothing of it can be carried out until it is resumed.",
            name=escape(actor_name(refusal.by, messages)),
            what=what,
            when=when,
            reason=reason,
        )
    return messages.t(
        "This is paused: {what} (reason: {reason})."
        " Nothing of it can be carried out until it is resumed.",
        what=what,
        reason=reason,
    )


def _already_paused(refusal: Refusal, messages: Messages, when: str | None) -> str:
    return messages.t(
        "{name} paused {what} already, at {when} (reason: {reason}). Nothing was changed.",
        name=escape(actor_name(refusal.by, messages)),
        what=escape(scope_name(refusal.action or ALL, messages)),
        when=when or "—",
        reason=escape(messages.word(refusal.reason or "")) or messages.t("no reason given"),
    )


def _market_words(detail: str | None, messages: Messages) -> str:
    """`detail` is the marketplace's code, with its own words behind a colon where it sent any."""
    code, _, words = (detail or "").partition(":")
    return escape(market_reason(code.strip() or None, words.strip() or None, messages))


def _percent(text: str | None) -> str:
    return text if text is not None and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,2})?", text) else "—"


def _not_proven(refusal: Refusal, messages: Messages) -> str:
    told = messages.t(
        "For “automatic” a detection needs {count} decided findings of which {percent} % were right.",
        count=messages.number(refusal.count or 0),
        percent=_percent(refusal.detail),
    )
    so_far = (
        messages.t(
            "So far {count} are decided, and {percent} % were right.",
            count=messages.number(refusal.amount or 0),
            percent=_percent(refusal.reason),
        )
        if refusal.reason
        else messages.t("So far none is decided.")
    )
    return ("" if messages.locale == "ja" else " ").join([told, so_far])
