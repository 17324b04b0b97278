"""The story of a case as its thread tells it: one or two short sentences an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from bot.actions import registry
from bot.cards.brake_lines import DRY_RUN
from bot.cards.plan_words import final_sentences
from bot.cards.ring_lines import link_words
from bot.cards.wording import (
    action_name,
    action_sentence,
    address,
    case_name,
    count_of,
    evidence_line,
    market_reason,
    mention_groups,
    mention_person,
    reason_words,
    status_name,
    verb_name,
)
from bot.domain.actions import Action
from bot.domain.story import Story, StoryKind
from bot.domain.subjects import SubjectKind
from bot.domain.text import escape
from bot.domain.verbs import VERB_SUBJECT, Verb
from bot.locale import Messages

_IDS = 5


def story_text(story: Story, *, messages: Messages, tz: tzinfo) -> str:
    """The event as mrkdwn; everything from people and the marketplace in it is escaped."""
    t = messages.t
    who = escape(address(story.by_name or story.by, messages))
    action = escape(action_name(story.action, messages))
    reason = _reason(story, messages)
    match story.kind:
        case StoryKind.OPENED:
            return _opened(story, messages, tz, who)
        case StoryKind.FINDING_JOINED:
            return _joined(story, messages, tz)
        case StoryKind.RING_JOINED:
            return _ring_joined(story, messages)
        case StoryKind.RING_TIED:
            return t(
                "{cases} is about the same ring (in common: {kinds}). Each case is decided by itself.",
                cases=messages.series([case_name(case_id) for case_id in story.cases]),
                kinds=link_words(story.links, messages),
            )
        case StoryKind.MARKET_CHANGED:
            return _changed(story, messages)
        case StoryKind.REQUESTED:
            return _requested(story, messages, tz, who) + reason
        case StoryKind.APPROVED:
            other = story.on_behalf_of_name
            if other is not None:
                who = t("{person} for {other}", person=who, other=escape(address(other, messages)))
            told = t("{name} approved: {action}.", name=who, action=action)
            return told + _starts(story, messages, tz)
        case StoryKind.GLASS_BROKEN:
            told = t(
                "{name} let it through alone in an emergency: {action}.", name=who, action=action
            )
            return told + _quoted(story.note) + _starts(story, messages, tz)
        case StoryKind.REJECTED:
            return t("{name} rejected: {action}.", name=who, action=action) + reason
        case StoryKind.EXPIRED:
            return t("The request ({action}) was not approved in time.", action=action)
        case StoryKind.DECIDED:
            told = t("{name} decided: {action}.", name=who, action=action)
            return told + reason + _starts(story, messages, tz)
        case StoryKind.OPERATION_FAILED:
            return t(
                "{ids}: {verb} was not done, {reason}.",
                ids=_ids(story, messages),
                verb=_verb(story, messages),
                reason=escape(market_reason(story.code, story.detail, messages)),
            )
        case StoryKind.OPERATION_UNKNOWN:
            return t(
                "{ids}: the result of the {verb} is being checked. Please do nothing in the back"
                " office: it could happen twice.",
                ids=_ids(story, messages),
                verb=_verb(story, messages),
            )
        case StoryKind.OPERATION_OVERDUE:
            return _mention(story) + t(
                "{ids}: for {count} min nobody knows whether the {verb} took effect. Please look in the"
                " back office and record here what you found; do not repeat it by hand.",
                ids=_ids(story, messages),
                verb=_verb(story, messages),
                count=story.count,
            )
        case StoryKind.STOPPED:
            return messages.n(
                "{name} stopped {count} operation that was not sent yet.",
                "{name} stopped {count} operations that were not sent yet.",
                story.count,
                name=who,
            )
        case StoryKind.COMPLETED:
            told = _completed(story, messages)
            return t("🧪 Dry run: {outcome}", outcome=told) if story.detail == DRY_RUN else told
        case StoryKind.DISMISSED:
            told = t("{name} judged this not to be fraud.", name=who) + reason
            if story.orders:
                what = count_of(SubjectKind.ORDER, story.orders, messages)
                told += "\n" + t("The hold on {what} is being released.", what=escape(what))
            return told
        case StoryKind.CLAIMED:
            return t("{name} looks after this case.", name=who)
        case StoryKind.TAKEN_BACK:
            return t(
                "{name} took the decision back: {action}. Nothing was done.",
                name=who,
                action=action,
            )
        case StoryKind.OVERTURNED:
            told = t("{name} found the decision wrong: {action}.", name=who, action=action)
            why = escape(story.note or "", 300)
            return f"{told}\n{why}" if why else told
        case StoryKind.ASKED:
            return _asked(story, messages, tz, who)
        case StoryKind.ESCALATED:
            return _escalated(story, messages, tz, who)
        case StoryKind.WAIT_OVER:
            return _mention(story) + t(
                "No answer came in time. The case is open for everybody again."
            )
        case StoryKind.REMINDED:
            return _reminded(story, messages, tz, action)
        case StoryKind.CALLED_IN:
            return _called_in(story, messages, tz, action)
        case StoryKind.HOLD_WARNED:
            return _hold_warned(story, messages, tz)
        case StoryKind.HOLD_EXTENDED:
            when = escape(messages.moment(story.expires_at, tz)) if story.expires_at else "—"
            told = t("{name} extended the hold until {when}.", name=who, when=when)
            return told + _quoted(story.note)
        case StoryKind.HOLD_ENDED:
            what = escape(count_of(SubjectKind.ORDER, story.orders, messages))
            return t(
                "The hold has run out and nobody extended it: {what} are being released.", what=what
            )
        case StoryKind.NIGHT_HELD:
            return _night_held(story, messages)
        case StoryKind.AUTOMATIC_HELD:
            return _automatic_held(story, messages, tz)
        case StoryKind.AUTOMATIC_KEPT:
            return t(
                "{name} keeps it: {action} will not happen by itself. The case waits for a decision.",
                name=who,
                action=escape(action_name(story.action, messages)),
            )
        case StoryKind.BY_HAND:
            return _by_hand(story, messages, who)
        case StoryKind.NOTED:
            note = escape(story.note or "", 500)
            return t("{name} noted: {note}", name=who, note=note)


def _opened(story: Story, messages: Messages, tz: tzinfo, who: str) -> str:
    title = escape(messages.pick(story.title_ja, story.title_en), 80)
    if not title:
        return messages.t("{name} opened this case by hand.", name=who)
    evidence = escape(evidence_line(story.evidence, messages, tz), 900)
    opened = messages.t("Case opened: {title}.", title=title)
    return f"{opened}\n{evidence}" if evidence else opened


def _joined(story: Story, messages: Messages, tz: tzinfo) -> str:
    title = escape(messages.pick(story.title_ja, story.title_en), 80)
    told = messages.t("Also found: {title}.", title=title)
    came = [
        count_of(kind, count, messages)
        for kind, count in (
            (SubjectKind.ORDER, story.orders),
            (SubjectKind.ACCOUNT, story.accounts),
        )
        if count
    ]
    if came:
        told += ("" if messages.locale == "ja" else " ") + messages.t(
            "Newly in this case: {what}.", what=escape(messages.all_of(came))
        )
    evidence = escape(evidence_line(story.evidence, messages, tz), 900)
    return f"{told}\n{evidence}" if evidence else told


def _ring_joined(story: Story, messages: Messages) -> str:
    came = [
        count_of(kind, count, messages)
        for kind, count in (
            (SubjectKind.ORDER, story.orders),
            (SubjectKind.ACCOUNT, story.accounts),
        )
        if count
    ]
    return messages.t(
        "Newly in this case: {what}, which share with it: {kinds}.",
        what=escape(messages.all_of(came)),
        kinds=link_words(story.links, messages),
    )


def _changed(story: Story, messages: Messages) -> str:
    status = escape(status_name(story.detail or "", messages))
    if len(story.subject_ids) == 1 and story.count <= 1 and status:
        return messages.t(
            "Changed in the marketplace: {ids} is now {status}.",
            ids=_ids(story, messages),
            status=status,
        )
    return messages.t("Changed in the marketplace: {ids}.", ids=_ids(story, messages))


def _requested(story: Story, messages: Messages, tz: tzinfo, who: str) -> str:
    told = messages.t(
        "{name} requested: {action}.",
        name=who,
        action=escape(action_name(story.action, messages)),
    )
    # The only mention that pings: these must act.
    groups = mention_groups(story.approver_groups)
    if groups and story.expires_at is not None:
        when = escape(messages.moment(story.expires_at, tz))
        return (
            told
            + "\n"
            + messages.t(
                "{groups} Please approve or reject it by {when}.", groups=groups, when=when
            )
        )
    if groups:
        return told + "\n" + messages.t("{groups} Please approve or reject it.", groups=groups)
    return told


def _starts(story: Story, messages: Messages, tz: tzinfo) -> str:
    if story.starts_at is None:
        return ""
    when = escape(messages.clock_time(story.starts_at, tz))
    return "\n" + messages.t(
        "It will be carried out at {when}; until then it can be taken back.", when=when
    )


def _asked(story: Story, messages: Messages, tz: tzinfo, who: str) -> str:
    until = escape(messages.moment(story.expires_at, tz)) if story.expires_at else "—"
    told = messages.t(
        "{name} asks the customer and awaits the answer until {when}.", name=who, when=until
    )
    return told + _quoted(story.note)


def _escalated(story: Story, messages: Messages, tz: tzinfo, who: str) -> str:
    until = escape(messages.moment(story.expires_at, tz)) if story.expires_at else "—"
    told = messages.t(
        "{name} passes this case on. Please look at it by {when}.", name=who, when=until
    )
    groups = mention_groups(story.approver_groups)
    return (f"{groups} {told}" if groups else told) + _quoted(story.note)


def _until(story: Story, messages: Messages, tz: tzinfo) -> str:
    """By when it must be answered, as the end of what was said."""
    if story.expires_at is None:
        return ""
    when = escape(messages.moment(story.expires_at, tz))
    return _then(messages) + messages.t("It ends at {when}.", when=when)


def _then(messages: Messages) -> str:
    """What stands between two sentences."""
    return "" if messages.locale == "ja" else " "


def _reminded(story: Story, messages: Messages, tz: tzinfo, action: str) -> str:
    groups = mention_groups(story.approver_groups)
    told = messages.t("The request ({action}) still waits for an answer.", action=action)
    return (f"{groups} {told}" if groups else told) + _until(story, messages, tz)


def _called_in(story: Story, messages: Messages, tz: tzinfo, action: str) -> str:
    groups = mention_groups(story.approver_groups)
    told = messages.t(
        "Nobody has answered the request ({action}) for {hours} business hours. Please see to it"
        " that somebody does.",
        action=action,
        hours=f"{story.hours:g}",
    )
    return (f"{groups} {told}" if groups else told) + _until(story, messages, tz)


def _hold_warned(story: Story, messages: Messages, tz: tzinfo) -> str:
    groups = mention_groups(story.approver_groups)
    when = escape(messages.moment(story.expires_at, tz)) if story.expires_at else "—"
    told = messages.t(
        "The hold on {what} ends at {when}: they are released then. Please decide, or extend the"
        " hold with a reason.",
        what=escape(count_of(SubjectKind.ORDER, story.orders, messages)),
        when=when,
    )
    return _mention(story) + (f"{groups} " if groups else "") + told


def _night_held(story: Story, messages: Messages) -> str:
    told: list[str] = []
    if story.orders or not story.count:
        what = count_of(SubjectKind.ORDER, story.orders, messages)
        if story.amounts:
            what = messages.t(
                "{what} ({money})", what=what, money=messages.monies(story.amounts[:3])
            )
        told.append(
            messages.t(
                "Nobody is there: {what} were put on hold at once, as the policy says.",
                what=escape(what),
            )
        )
    if story.count:
        what = escape(count_of(SubjectKind.ORDER, story.count, messages))
        told.append(
            messages.t("Not held, since holding is paused: {what}.", what=what)
            if story.detail == "paused"
            else messages.t("Not held, since the night's cap is reached: {what}.", what=what)
        )
    return "\n".join(told)


def _automatic_held(story: Story, messages: Messages, tz: tzinfo) -> str:
    told: list[str] = []
    if story.orders or not story.count:
        what = count_of(SubjectKind.ORDER, story.orders, messages)
        if story.amounts:
            what = messages.t(
                "{what} ({money})", what=what, money=messages.monies(story.amounts[:3])
            )
        told.append(
            messages.t(
                "The detection is in automatic: {what} were put on hold at once.", what=escape(what)
            )
        )
    if story.action and story.starts_at is not None:
        told.append(
            messages.t(
                "{action} follows at {when} unless somebody presses “Keep”.",
                action=escape(action_name(story.action, messages)),
                when=messages.clock_time(story.starts_at, tz),
            )
        )
    if story.count:
        what = escape(count_of(SubjectKind.ORDER, story.count, messages))
        told.append(
            messages.t("Not held, since holding is paused: {what}.", what=what)
            if story.detail == "paused"
            else messages.t(
                "Not held, since the cap of what detections may hold is reached: {what}. Please decide.",
                what=what,
            )
        )
    return "\n".join(told)


def _by_hand(story: Story, messages: Messages, who: str) -> str:
    told = messages.n(
        "{name} did {count} operation by hand.",
        "{name} did {count} operations by hand.",
        story.count,
        name=who,
    )
    if story.subject_ids:
        told += "\n" + messages.t("Not done: {ids}.", ids=_ids(replace(story, count=0), messages))
    return told + _quoted(story.note)


def _quoted(words: str | None) -> str:
    """What a person wrote, line by line as a quotation."""
    lines = [escape(line, 500) for line in (words or "").splitlines()[:20]]
    return "".join(f"\n> {line}" for line in lines if line)


def _mention(story: Story) -> str:
    """The one who must act, pinged."""
    return f"{mention_person(story.mention)} " if mention_person(story.mention) else ""


def _completed(story: Story, messages: Messages) -> str:
    action = registry().get(story.action or "")
    what = (
        escape(action_sentence(action, _counts(action, story), messages, done=True))
        if action is not None
        else ""
    )
    if story.count:
        return messages.n(
            "Not complete: {count} operation was not done. Done: {what}.",
            "Not complete: {count} operations were not done. Done: {what}.",
            story.count,
            what=what or "—",
        )
    told = messages.t("Done: {what}.", what=what or escape(action_name(story.action, messages)))
    if action is None or story.detail == DRY_RUN:
        return told
    # What came along only if somebody ticked it is not known here.
    meant = {use.verb for use in action.uses if not use.optional}
    done = [verb for verb, count in _counts(action, story).items() if count and verb in meant]
    return "\n".join([told, *map(escape, final_sentences(done, messages))])


def _counts(action: Action, story: Story) -> dict[Verb, int]:
    by_kind = {
        SubjectKind.ORDER: story.orders,
        SubjectKind.ACCOUNT: story.accounts,
        SubjectKind.LISTING: story.listings,
        SubjectKind.POST: story.posts,
    }
    return {use.verb: by_kind[VERB_SUBJECT[use.verb]] for use in action.uses}


def _reason(story: Story, messages: Messages) -> str:
    told = escape(reason_words(story.reason, story.note, messages), 500)
    return "\n" + messages.t("Reason: {reason}", reason=told) if told else ""


def _ids(story: Story, messages: Messages) -> str:
    ids = [escape(id_, 60) for id_ in story.subject_ids[:_IDS]]
    left = max(len(story.subject_ids), story.count) - len(ids)
    if left > 0:
        ids.append(messages.n("and {count} more", "and {count} more", left))
    return ", ".join(ids)


def _verb(story: Story, messages: Messages) -> str:
    try:
        return escape(verb_name(Verb(story.verb or ""), messages))
    except ValueError:
        return escape(story.verb or "")
