"""What is broken: detections, the marketplace, Slack, roles, and what somebody has paused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bot.cases.policy import ROLES_MAX_AGE_S
from bot.digests._kit import Ask, Section
from bot.domain.digests import Part, Sentence, case, n, span, t, text, verb
from bot.domain.errors import SayableError
from bot.ledger import tallies
from bot.ledger.tallies import Trouble

SHOWN = 5
UNSENT_S = 600.0
STOPPED_S = 600.0


async def read(ask: Ask) -> Part:
    lines = [
        *await _stopped(ask),
        *_failing(await tallies.failing_ticks(ask.conn)),
        *_silent(await tallies.silent_ticks(ask.conn)),
        *await _market(ask),
        *await _operations(ask),
        *await _slack(ask),
        *await _brakes(ask),
        *await _reviews(ask),
    ]
    return Part(lines=tuple(lines) or (t("Nothing is broken."),))


async def _stopped(ask: Ask) -> list[Sentence]:
    age_s = await tallies.stopped_for_s(ask.conn)
    if age_s is None or age_s < STOPPED_S:
        return []
    return [t("The bot was stopped for {span}.", span=span(age_s))]


def _failing(ticks: Sequence[Trouble]) -> Iterator[Sentence]:
    for tick in ticks[:SHOWN]:
        yield t(
            "{name} failed at its last run, {span} ago: {reason}",
            name=text(_name(tick)),
            span=span(tick.age_s),
            reason=text(tick.detail),
        )
    yield from _rest(len(ticks))


def _silent(ticks: Sequence[Trouble]) -> Iterator[Sentence]:
    for tick in ticks[:SHOWN]:
        yield t("{name} has not run for {span}.", name=text(_name(tick)), span=span(tick.age_s))
    yield from _rest(len(ticks))


def _rest(total: int) -> Iterator[Sentence]:
    if total > SHOWN:
        yield n("and {count} more", "and {count} more", total - SHOWN)


def _name(tick: Trouble) -> str:
    return tick.what.removeprefix("detection:").removeprefix("job:")


async def _market(ask: Ask) -> list[Sentence]:
    try:
        await ask.reader.check()
    except SayableError as error:
        return [text_line(error)]
    return []


def text_line(error: SayableError) -> Sentence:
    """The operator's sentence as it stands; it names the setting that is wrong."""
    return t("The marketplace cannot be read: {reason}", reason=text(str(error)))


async def _operations(ask: Ask) -> list[Sentence]:
    unknown, total = await tallies.unknown_operations(ask.conn, SHOWN)
    lines = [
        t(
            "{case}: the result of the {verb} of {id} is unknown for {span}.",
            case=case(trouble.case_id or 0),
            verb=verb(name),
            id=text(trouble.what),
            span=span(trouble.age_s),
        )
        for name, trouble in unknown
    ]
    lines += _rest(total)
    people = await tallies.waiting_for_people(ask.conn)
    if people is not None:
        lines.append(
            n(
                "{count} operation needs a person, for {span}.",
                "{count} operations need a person, the oldest for {span}.",
                people.count,
                span=span(people.age_s),
            )
        )
    return lines


async def _slack(ask: Ask) -> list[Sentence]:
    lines: list[Sentence] = []
    unsent = await tallies.unsent_messages(ask.conn, older_than_s=UNSENT_S)
    if unsent is not None:
        values = {"span": span(unsent.age_s), "reason": text(unsent.detail)}
        lines.append(
            n(
                "{count} message waits for Slack, for {span}: {reason}",
                "{count} messages wait for Slack, the oldest for {span}: {reason}",
                unsent.count,
                **values,
            )
            if unsent.detail
            else n(
                "{count} message waits for Slack, for {span}.",
                "{count} messages wait for Slack, the oldest for {span}.",
                unsent.count,
                span=span(unsent.age_s),
            )
        )
    age_s = await tallies.roles_age_s(ask.conn)
    if age_s is None:
        lines.append(t("Roles were never synced from Slack: no money moves."))
    elif age_s > ROLES_MAX_AGE_S:
        lines.append(
            t("Roles were last synced {span} ago: no money moves.", span=span(age_s)),
        )
    return lines


async def _brakes(ask: Ask) -> list[Sentence]:
    lines = []
    for by, brake in await tallies.pulled_brakes(ask.conn):
        values = {"name": text(by), "span": span(brake.age_s), "reason": text(brake.detail)}
        lines.append(
            t("{name} paused all operations {span} ago: {reason}", **values)
            if brake.what == "all"
            else t("{name} paused {what} {span} ago: {reason}", **values, what=text(brake.what))
        )
    return lines


async def _reviews(ask: Ask) -> list[Sentence]:
    reviews = await tallies.open_reviews(ask.conn)
    lines = [
        t(
            "{case}: {name} let it through alone {span} ago, and nobody has reviewed that yet.",
            case=case(trouble.case_id or 0),
            name=text(by),
            span=span(trouble.age_s),
        )
        for by, trouble in reviews[:SHOWN]
    ]
    return [*lines, *_rest(len(reviews))]


SECTION = Section(name="broken", order=50, title=t("What is broken"), read=read, present_only=True)
