"""The doctor: tries every part that the settings name, and says in a sentence what is wrong and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from bot import app, parts
from bot.actions import registry
from bot.cards.glossary import read_glossary
from bot.cases.pausing import scopes_of
from bot.cases.policy import DEFAULT_POLICY, Policy, read_policy
from bot.detections.detection import LEDGER
from bot.detections.loading import load_detections
from bot.detections.redash_map import MappedQuery
from bot.detections.redash_rows import take_rows
from bot.domain.errors import SayableError
from bot.domain.findings import Mode, Severity
from bot.domain.verbs import Capability, OperationClass, Verb
from bot.handlers.identity import ProviderAwayError
from bot.jobs.anchor_audit import check_age
from bot.jobs.redash import is_idle
from bot.ledger import audit
from bot.ledger.engine import create_engine
from bot.market.marketplace import MarketUnreachable
from bot.market.reader import MarketReader
from bot.market.redash import RedashApi, RedashFault, RedashHasNone
from bot.settings import Settings, require


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing that was tried: `problem` says what is wrong and what to do; None: it is well."""

    what: str
    told: str = ""
    problem: str | None = None
    grave: bool = True
    """A note that is not grave does not keep the bot from running."""


async def examine(settings: Settings) -> AsyncIterator[Diagnosis]:
    """Try one part after another; a part that fails does not keep the others from being tried."""
    policy: Policy | None = None
    try:
        policy = read_policy(settings.policy_file or DEFAULT_POLICY, registry())
        yield Diagnosis(what="policy", told=f"{len(policy.file.actions)} actions and steps")
        for role, source in policy.file.roles.items():
            if source.users:
                yield Diagnosis(
                    what="policy",
                    problem=f"The role {role} is given to {len(source.users)} listed user ids: "
                    "fine for a trial, but nobody sees it change. Use a user group.",
                    grave=False,
                )
        for problem in _night_problems(settings, policy):
            yield Diagnosis(what="policy", problem=problem)
        if policy.file.automatic is not None and policy.file.automatic.every_detection:
            yield Diagnosis(
                what="policy",
                problem="automatic.every_detection lets every detection hold orders, whatever its precision:"
                " fine for a trial on a staging shop. Remove it for a real one.",
                grave=False,
            )
        if policy.file.step_up is not None and settings.oidc_issuer is None:
            yield Diagnosis(
                what="policy",
                problem="step_up asks for a sign-in, and there is no OIDC_ISSUER: nobody can approve above its limit.",
            )
    except SayableError as error:
        yield Diagnosis(what="policy", problem=str(error))
    if settings.dry_run:
        yield Diagnosis(
            what="brakes",
            problem="DRY_RUN is on: everything is recorded, and nothing is changed in the marketplace.",
            grave=False,
        )
    if settings.paused:
        try:
            told = ", ".join(scopes_of(settings.paused))
        except SayableError as error:
            yield Diagnosis(what="brakes", problem=str(error))
        else:
            yield Diagnosis(
                what="brakes", problem=f"PAUSED stops this at every start: {told}.", grave=False
            )
    for part, examination in (
        ("words", _examine_glossary),
        ("detections", _examine_detections),
        ("ledger", _examine_ledger),
        ("ledger views", _examine_ledger_reader),
        ("audit anchors", _examine_anchors),
        ("marketplace database", _examine_reader),
        ("marketplace API", _examine_marketplace),
        ("identity provider", _examine_provider),
        ("redash", _examine_redash),
    ):
        yield await _tried(part, examination, settings)
    async for diagnosis in _examine_grants(settings):
        yield diagnosis
    async for diagnosis in _examine_slack(settings, policy):
        yield diagnosis


def _night_problems(settings: Settings, policy: Policy) -> Iterator[str]:
    """Detections that the policy lets hold at night and that would never do it."""
    if policy.file.off_hours is None:
        return
    loaded = load_detections(parts.detection_folders(settings), actions=registry())
    known = {detection.name: detection for detection in loaded.detections}
    # A map that is wrong is told where Redash is tried.
    with suppress(SayableError):
        known.update(
            {one.detection.name: one.detection for one in parts.redash_queries_of(settings)}
        )
    for name in policy.file.off_hours.detections:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            yield f"off_hours lists the detection {name}, which there is not.{hint}"
        elif known[name].severity is not Severity.P1 or known[name].mode is not Mode.REVIEW:
            yield (
                f"off_hours lists the detection {name}, which is {known[name].severity} in"
                f" {known[name].mode}: at night it holds nothing, only P1 in review does."
            )


async def _tried(
    part: str, examination: Callable[[Settings], Awaitable[str]], settings: Settings
) -> Diagnosis:
    try:
        async with asyncio.timeout(20):
            return Diagnosis(what=part, told=await examination(settings))
    except SayableError as error:
        return Diagnosis(what=part, problem=str(error))
    except TimeoutError:
        return Diagnosis(what=part, problem="It does not answer within 20 seconds.")


async def _examine_glossary(settings: Settings) -> str:
    if settings.glossary_file is None:
        return "the catalogue's own"
    words = read_glossary(settings.glossary_file)
    return ", ".join(f"{len(chosen)} of the shop's in {locale}" for locale, chosen in words.items())


async def _examine_detections(settings: Settings) -> str:
    loaded = load_detections(parts.detection_folders(settings), actions=registry())
    if loaded.problems:
        raise SayableError("; ".join(problem.sentence for problem in loaded.problems))
    return f"{len(loaded.detections)} detections"


async def _examine_provider(settings: Settings) -> str:
    if settings.oidc_issuer is None:
        return "none: nobody is asked to sign in"
    async with aiohttp.ClientSession() as session:
        provider = app.identity_provider(settings, session)
        try:
            await provider.check()
        except ProviderAwayError as error:
            raise SayableError(
                f"OIDC_ISSUER does not answer as an OpenID Connect provider does ({error}): is it written as in its"
                " own configuration?"
            ) from error
    return f"sign-ins come back to {app.step_up_url(settings)}/back"


async def _examine_redash(settings: Settings) -> str:
    queries = parts.redash_queries_of(settings)
    if not queries:
        return "none: no queries of Redash are detections"
    problems = []
    async with aiohttp.ClientSession(timeout=parts.HTTP_TIMEOUT) as session:
        api = parts.redash_api_of(settings, queries, session)
        try:
            if api.sees_alerts:
                await api.alerts()
            for mapped in queries:
                problems += await _problems_of_query(api, mapped)
        except RedashFault as fault:
            raise SayableError(str(fault)) from fault
    if problems:
        raise SayableError(" ".join(problems))
    told = f"{len(queries)} queries are detections"
    if app.is_redash_door_set_up(settings):
        told += (
            f"; webhooks come in at {(settings.public_url or '…').rstrip('/')}/webhooks/redash/…"
        )
    else:
        told += "; no webhooks: REDASH_WEBHOOK_SECRET is not set, so only polls find what they find"
    if not api.sees_alerts:
        told += "; without REDASH_API_KEY no alert is polled, and a lost webhook stays lost"
    return told


async def _problems_of_query(api: RedashApi, mapped: MappedQuery) -> list[str]:
    """What of a mapped query would find nothing."""
    where = f"Query {mapped.query_id} ({mapped.detection.name})"
    try:
        info = await api.query(mapped.query_id)
        if is_idle(mapped, info):
            return [f"{where} has no schedule in Redash or is archived: it never runs by itself."]
        if not mapped.runs and info.parameters:
            return [f"{where} has parameters: name them under `parameters`, with `when: always`."]
        if mapped.runs or info.latest_result_id is None:
            return []
        result = await api.result(mapped.query_id)
    except RedashHasNone:
        return [f"{where} is not in Redash: correct its number in REDASH_MAP."]
    misfits = take_rows(mapped, result).misfits
    return [
        f"{where}: the column {misfit.column} does not fit the map ({misfit.problem}) in {count} rows."
        for misfit, count in misfits
    ]


async def _examine_ledger(settings: Settings) -> str:
    require(settings, "database_url")
    url = settings.database_url
    engine = create_engine(url.get_secret_value() if url else "", poolclass=NullPool)
    try:
        await app.check_ledger(engine)
        async with engine.connect() as conn:
            seq, _ = await audit.read_head(conn)
            version = await conn.scalar(text("SHOW server_version"))
        return f"Postgres {version}, {seq} audit entries"
    finally:
        await engine.dispose()


async def _examine_anchors(settings: Settings) -> str:
    if settings.anchor_dir is None:
        return "none: only digests tell the head of the audit log"
    return await asyncio.to_thread(check_age, settings.anchor_dir, datetime.now(UTC))


async def _examine_ledger_reader(settings: Settings) -> str:
    loaded = load_detections(parts.detection_folders(settings), actions=registry())
    wanting = [one.name for one in loaded.detections if one.source == LEDGER]
    reader = parts.ledger_reader_of(settings)
    if reader is None:
        if wanting:
            raise SayableError(
                f"{', '.join(wanting)} read our own ledger and do not run: set DATABASE_READER_URL to a role"
                " with nothing but CONNECT, and run `mimawari migrate`."
            )
        return "no detection needs it"
    await reader.check()
    return f"{len(await reader.relations())} views, read only"


async def _examine_reader(settings: Settings) -> str:
    require(settings, "market_database_url")
    url = settings.market_database_url
    reader = MarketReader(url.get_secret_value() if url else "", settings.market_schema)
    await reader.check()
    relations = await reader.relations()
    return f"{len(relations)} relations of the contract, read only"


async def _examine_grants(settings: Settings) -> AsyncIterator[Diagnosis]:
    """What everybody may do in the marketplace's database; nothing where it cannot be asked."""
    url = settings.market_database_url
    if url is None:
        return
    try:
        async with asyncio.timeout(20):
            reader = MarketReader(url.get_secret_value(), settings.market_schema)
            grants = await reader.public_grants()
    except (SayableError, TimeoutError):
        return  # the part before has said it
    for grant in grants:
        yield Diagnosis(what="marketplace database", problem=grant.sentence, grave=False)


async def _examine_marketplace(settings: Settings) -> str:
    verb_map = app.verb_map_of(settings)
    async with aiohttp.ClientSession(timeout=parts.HTTP_TIMEOUT) as session:
        marketplace = app.marketplace_of(settings, verb_map, session)
        try:
            offered = await marketplace.capabilities()
        except MarketUnreachable as error:
            raise SayableError(
                f"The admin API at MARKET_API_URL does not tell its capabilities ({error}): "
                "check the address and MARKET_API_TOKEN."
            ) from error
        if verb_map is not None and verb_map.base_url is not None:
            await _knock(session, verb_map.base_url)
    return _told_of(offered)


async def _knock(session: aiohttp.ClientSession, url: str) -> None:
    """Whether anybody is there; without the secret, and whatever the answer is."""
    try:
        async with session.get(url, allow_redirects=False):
            pass
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise SayableError(
            f"The base_url of VERB_MAP_FILE cannot be reached ({type(error).__name__}): "
            "check the address and the network."
        ) from error


def _told_of(offered: Mapping[Verb, Capability]) -> str:
    by_hand = sorted(v for v, c in offered.items() if c.operation_class is OperationClass.MANUAL)
    if len(by_hand) == len(Verb):
        return (
            "neither MARKET_API_URL nor VERB_MAP_FILE: people carry everything out by hand"
            " (step 1 of docs/adoption.md)"
        )
    missing = sorted({use.verb for a in registry().values() for use in a.uses} - set(offered))
    unsafe = sorted(
        verb
        for verb, capability in offered.items()
        if capability.operation_class in {OperationClass.LOOKUP, OperationClass.NONE}
    )
    told = f"{len(offered)} of {len(Verb)} verbs"
    if missing:
        told += f"; no buttons for {', '.join(missing)}"
    if unsafe:
        told += f"; not protected by a key: {', '.join(unsafe)}"
    if by_hand:
        told += f"; by hand: {', '.join(by_hand)}"
    return told


async def _examine_slack(settings: Settings, policy: Policy | None) -> AsyncIterator[Diagnosis]:
    try:
        require(settings, "slack_bot_token", "alert_channel")
        if settings.slack_app_token is None:
            require(settings, "slack_signing_secret")
    except SayableError as error:
        yield Diagnosis(what="slack", problem=str(error))
        return
    token = settings.slack_bot_token
    async with aiohttp.ClientSession(timeout=parts.HTTP_TIMEOUT) as session:
        client = AsyncWebClient(
            token=token.get_secret_value() if token else "",
            base_url=settings.slack_api_url.rstrip("/") + "/",
            session=session,
            retry_handlers=[],
        )
        try:
            answer = await client.auth_test()
            yield Diagnosis(what="slack", told=f"workspace {answer.get('team')}")
            yield await _examine_channel(
                client, settings.alert_channel or "", "alert channel", "ALERT_CHANNEL"
            )
            if settings.digest_channel not in {None, settings.alert_channel}:
                yield await _examine_channel(
                    client, settings.digest_channel or "", "digest channel", "DIGEST_CHANNEL"
                )
            if settings.security_channel not in {None, settings.alert_channel}:
                yield await _examine_channel(
                    client, settings.security_channel or "", "security channel", "SECURITY_CHANNEL"
                )
            if policy is not None:
                yield await _examine_groups(client, policy)
        except SlackApiError as error:
            yield Diagnosis(
                what="slack",
                problem=f"Slack refuses ({error.response.get('error')}): check SLACK_BOT_TOKEN and the app's scopes.",
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            yield Diagnosis(
                what="slack",
                problem=f"Slack cannot be reached at SLACK_API_URL ({type(error).__name__}).",
            )


async def _examine_channel(
    client: AsyncWebClient, channel: str, what: str, setting: str
) -> Diagnosis:
    try:
        answer = await client.conversations_info(channel=channel)
    except SlackApiError as error:
        return Diagnosis(
            what=what,
            problem=f"{setting} {channel} is refused ({error.response.get('error')}): "
            "give a channel's id (C…), and for a private channel invite the bot.",
        )
    if not answer["channel"].get("is_member"):
        return Diagnosis(
            what=what,
            problem=f"The bot is not in #{answer['channel'].get('name')}: invite it there with /invite.",
        )
    return Diagnosis(what=what, told=f"#{answer['channel'].get('name')}")


async def _examine_groups(client: AsyncWebClient, policy: Policy) -> Diagnosis:
    try:
        answer = await client.usergroups_list(include_disabled=False)
    except SlackApiError as error:
        if error.response.get("error") != "plan_upgrade_required":
            raise
        return Diagnosis(
            what="roles",
            problem="This Slack plan has no user groups: list user ids under `users` in the policy for a trial.",
        )
    there = {group["handle"] for group in answer["usergroups"]}
    missing = sorted(policy.handles - there)
    if missing:
        return Diagnosis(
            what="roles",
            problem=f"Slack has no user group {', '.join('@' + handle for handle in missing)}: "
            "make it, or name another in the policy. Nobody has its role until then.",
        )
    return Diagnosis(what="roles", told=f"{len(policy.handles)} user groups")
