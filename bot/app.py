"""The composition root: puts the parts together, starts them, and stops them without losing anything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import aiohttp
from aiohttp import web
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from bot.actions import registry
from bot.cards.glossary import read_glossary
from bot.cases.approving import expire_requests
from bot.cases.automatic import follow_newcomers
from bot.cases.brakes import redraw_for_brakes
from bot.cases.consulting import end_waits
from bot.cases.holding import follow_holds
from bot.cases.nights import hold_newcomers, tell_shift
from bot.cases.objecting import take_final_steps
from bot.cases.pausing import pause_at_start
from bot.cases.policy import DEFAULT_POLICY, ROLES_MAX_AGE_S, read_policy
from bot.cases.policy_book import follow_policy, take_up_policy
from bot.cases.proposing import expire_proposals
from bot.cases.queueing import fold_closed
from bot.cases.ranking import rank_cases
from bot.cases.reconciling import compare_again
from bot.cases.reminding import remind
from bot.cases.room import CARDS, TOPICS, Room
from bot.detections.detection import BUILT_IN, LEDGER, Loaded
from bot.detections.following import DetectionFolders, FolderChange
from bot.domain.clock import Clock, WallClock
from bot.domain.errors import SayableError
from bot.executor import Executor
from bot.handlers.desk import Desk
from bot.handlers.errands import Errands
from bot.handlers.front_door import HTTP_LOGGER, FrontDoor
from bot.handlers.identity import IdentityProvider
from bot.handlers.listeners import make_app
from bot.handlers.redash_door import RedashDoor
from bot.handlers.step_up import BACK as STEP_UP_BACK
from bot.handlers.step_up import PATH as STEP_UP_PATH
from bot.handlers.step_up import StepUpPages, email_in_slack
from bot.jobs.anchor_audit import anchor_audit, keep_head
from bot.jobs.chargebacks import learn_from_chargebacks
from bot.jobs.detect import detect
from bot.jobs.digest import DigestPlan, make_digest
from bot.jobs.follow_detections import tell_change
from bot.jobs.grow_rings import grow_rings
from bot.jobs.reconcile import alarm, reconcile
from bot.jobs.redash import RedashDesk, poll, work_events
from bot.jobs.redash_intake import EVENTS_JOB, POLL_JOB, store_webhook
from bot.jobs.roll_up import sum_up_queue
from bot.jobs.sync_capabilities import sync_capabilities
from bot.jobs.sync_people import sync_people
from bot.jobs.ticker import Schedule, Tick, Ticker
from bot.jobs.watch_members import watch_members
from bot.ledger import cases, people
from bot.ledger.bell import Bell
from bot.ledger.engine import create_engine
from bot.ledger.migrate import current_revision, head_revision
from bot.locale import use_glossary
from bot.market.adopting import BY_HAND, MixedMarket
from bot.market.api import MarketApi
from bot.market.dry_run import DryRunMarket
from bot.market.mapped import MappedMarket
from bot.market.marketplace import Marketplace
from bot.market.reader import MarketReader, MarketUnreachableError
from bot.market.verb_map import Auth, VerbMap
from bot.market.verb_map_file import read_verb_map
from bot.parts import (
    HTTP_TIMEOUT,
    detection_folders,
    ledger_reader_of,
    redash_api_of,
    redash_queries_of,
    secret_of,
    select_limits,
)
from bot.publisher import CHANNEL_LOCALE, Limits, Publisher
from bot.settings import Settings, read_secret, require

logger = logging.getLogger(__name__)

HOME_TEAM = "home_team"
FASTEST_S = 2.0
"""No detection is run more often than this."""
FASTEST_ROLL_UP_S = 120.0
FOLD_AFTER_S = 1800.0
"""A closed case's card is folded to one line so long after."""
FASTEST_FOLD_S = 120.0
HTTP_DRAIN_S, ERRANDS_DRAIN_S = 4.0, 5.0
"""What is left of 25 s for a stop when the executor's and the ticker's share has passed."""
RECONCILE_EVERY_S = 300.0
"""How often the ledger is compared with the marketplace's own word."""
RINGS_EVERY_S = 4.0
"""How soon a new order joins the open case of its ring."""
DIGEST_EVERY_S = 15.0
"""How often it is asked whether a digest is due."""
FOLLOW_DETECTIONS_S = 2.0
"""How often the folders of detections are looked at; what changed counts when it is the same at the next look."""
FOLLOW_POLICY_S = 5.0
"""How soon each process goes on under a policy that was adopted in another one."""
REDASH_EVENTS_S = 5.0
"""How soon an event of Redash that failed is looked at again, at the earliest; a new one is at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who we are in Slack, as auth.test told."""

    team_id: str
    user_id: str
    bot_id: str


class Bot:
    """A running Mimawari: everything that `mimawari run` starts, in one object."""

    def __init__(
        self,
        settings: Settings,
        *,
        room: Room,
        client: AsyncWebClient,
        session: aiohttp.ClientSession,
        identity: Identity,
        folders: DetectionFolders,
        limits: Limits | None,
        pace: float,
    ) -> None:
        self._settings = settings
        self.room = room
        self._client = client
        verb_map = verb_map_of(settings)
        self._api: Marketplace = marketplace_of(settings, verb_map, session)
        if settings.market_api_url is None and verb_map is None:
            logger.info("no admin API and no verb map: people carry everything out by hand")
        if room.dry_run:
            logger.warning("a dry run: everything is shown and recorded, and nothing is changed")
            self._api = DryRunMarket(self._api)
        self._reader = MarketReader(
            secret_of(settings.market_database_url),
            settings.market_schema,
            admin_urls=verb_map.admin_urls if verb_map else {},
        )
        self._ledger_reader = ledger_reader_of(settings)
        self._errands = Errands()
        self._detections = {one.name: one for one in folders.loaded.detections}
        self._redash = redash_desk_of(settings, self._reader, session, taken=self._detections)
        self._add_redash()
        desk = Desk(
            room=room,
            api=self._api,
            reader=self._reader,
            client=client,
            session=session,
            errands=self._errands,
            tz=settings.zone,
            default_locale=settings.locale,
            detections=self._detections,
            resync=partial(sync_people, room, client),
        )
        self.bolt = make_app(
            client,
            authorized=AuthorizeResult(
                enterprise_id=None,
                team_id=identity.team_id,
                bot_token=secret_of(settings.slack_bot_token),
                bot_id=identity.bot_id,
                bot_user_id=identity.user_id,
            ),
            desk=desk,
            signing_secret=secret_of(settings.slack_signing_secret) or "unused-in-socket-mode",
        )
        self._step_up = _step_up_pages(settings, room, client, session)
        self._executor = Executor(room, self._api)
        self._publisher = Publisher(
            room,
            client,
            default_locale=settings.locale,
            zone=settings.zone,
            limits=limits,
        )
        self._pace = pace
        self._folders = folders
        self._ticker = Ticker(room, self._schedules(folders.loaded))
        self._ready = False
        self._door: FrontDoor | None = None
        self._stop = asyncio.Event()

    def _schedules(self, loaded: Loaded) -> dict[str, Schedule]:
        async def people_job(_: Tick) -> None:
            await sync_people(self.room, self._client)

        async def capabilities_job(_: Tick) -> None:
            await sync_capabilities(self.room, self._api)

        async def watch_job(_: Tick) -> None:
            await watch_members(self.room, self._reader)
            await follow_newcomers(self.room)

        async def expiry_job(_: Tick) -> None:
            await expire_requests(self.room)
            await expire_proposals(self.room)
            await redraw_for_brakes(self.room)
            await end_waits(self.room)
            await remind(self.room)
            await follow_holds(self.room)
            await hold_newcomers(self.room)
            await take_final_steps(self.room, self._api)
            await tell_shift(self.room)

        async def fold_job(_: Tick) -> None:
            await fold_closed(
                self.room, closed_for_s=max(FOLD_AFTER_S / self._pace, FASTEST_FOLD_S)
            )

        async def rank_job(_: Tick) -> None:
            await rank_cases(self.room)

        async def chargebacks_job(_: Tick) -> None:
            await learn_from_chargebacks(self.room, self._reader)

        schedules = {
            "job:sync_people": Schedule(every_s=45, job=people_job),
            "job:sync_capabilities": Schedule(every_s=60, job=capabilities_job),
            "job:watch_members": Schedule(every_s=15, job=watch_job),
            "job:expire_requests": Schedule(every_s=15, job=expiry_job),
            "job:grow_rings": Schedule(
                every_s=RINGS_EVERY_S, job=partial(grow_rings, self.room, self._reader)
            ),
            "job:reconcile": Schedule(
                every_s=RECONCILE_EVERY_S,
                job=partial(reconcile, self.room, self._api, self._reader),
            ),
            "job:rank_cases": Schedule(every_s=30, job=rank_job),
            "job:learn_from_chargebacks": Schedule(
                every_s=max(600 / self._pace, FASTEST_ROLL_UP_S), job=chargebacks_job
            ),
            "job:alarm": Schedule(every_s=30, job=partial(alarm, self.room)),
            "job:fold_closed": Schedule(every_s=30, job=fold_job),
            "job:roll_up": Schedule(
                every_s=max(3600 / self._pace, FASTEST_ROLL_UP_S),
                job=partial(sum_up_queue, self.room),
            ),
        }
        schedules["job:digest"] = Schedule(
            every_s=max(DIGEST_EVERY_S / self._pace, FASTEST_S),
            job=partial(make_digest, self.room, self._reader, self._digest_plan()),
        )
        if self._settings.anchor_dir is not None:
            schedules["job:anchor_audit"] = Schedule(
                every_s=3600, job=partial(anchor_audit, self.room, self._settings.anchor_dir)
            )
        if self._redash is not None:
            schedules[EVENTS_JOB] = Schedule(
                every_s=REDASH_EVENTS_S, job=partial(work_events, self.room, self._redash)
            )
            schedules[POLL_JOB] = Schedule(
                every_s=self._settings.redash_poll_seconds,
                job=partial(poll, self.room, self._redash),
            )
        for detection in loaded.detections:
            if detection.source == LEDGER and self._ledger_reader is None:
                logger.warning(
                    "%s reads our own ledger, and without DATABASE_READER_URL it does not run",
                    detection.name,
                )
                continue
            schedules[f"detection:{detection.name}"] = Schedule(
                every_s=max(detection.every.total_seconds() / self._pace, FASTEST_S),
                job=partial(
                    detect,
                    self.room,
                    self._reader,
                    detection,
                    ledger=self._ledger_reader,
                    limits=select_limits(self._settings),
                ),
            )
        return schedules

    def _add_redash(self) -> None:
        """Let people see the mapped queries among the detections."""
        if self._redash is not None:
            mapped = [one.detection for one in self._redash.queries.values()]
            self._detections.update({detection.name: detection for detection in mapped})

    def _digest_plan(self) -> DigestPlan:
        return DigestPlan(
            channel=self._settings.digest_channel or self.room.channel,
            at=self._settings.digest_at,
            zone=self._settings.zone,
            pace=self._pace,
        )

    async def prepare(self) -> None:
        """Learn what must be known before the first click: roles and what the marketplace offers.

        Neither need answer for us to start: until they do, no money moves.

        Raises:
            SayableError: the role of MARKET_DATABASE_URL could write.
        """
        try:
            await self._reader.check()
        except MarketUnreachableError as error:
            # Whether its role can write is checked again before the first query.
            logger.warning("%s", error)
        await asyncio.gather(
            sync_people(self.room, self._client), sync_capabilities(self.room, self._api)
        )
        await compare_again(self.room)
        await self._anchor_audit()

    async def _anchor_audit(self) -> None:
        """At the start too, so that what was written while nobody kept heads is not left open for an hour."""
        folder = self._settings.anchor_dir
        if folder is None:
            return
        try:
            await keep_head(self.room, folder)
        except SayableError as error:
            logger.warning("%s", error)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is under way."""
        bell = asyncio.create_task(self.room.bell.run())
        self._ready = True
        self._stop = stop
        try:
            async with self._intake():
                await asyncio.gather(
                    self._executor.run(stop),
                    self._publisher.run(stop),
                    self._ticker.run(stop),
                    self._follow_policy(stop),
                    self._follow_detections(stop),
                )
        finally:
            self._ready = False
            await self._errands.drain(ERRANDS_DRAIN_S)
            bell.cancel()
            await asyncio.gather(bell, return_exceptions=True)

    async def _follow_policy(self, stop: asyncio.Event) -> None:
        """In every process, so no tick: people agree in one, and all go on under what they agreed to."""
        while not stop.is_set():
            try:
                if await follow_policy(self.room):
                    await sync_people(self.room, self._client)
            except (SQLAlchemyError, OSError) as error:
                logger.warning("the policy in force cannot be read: %s", type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_POLICY_S):
                    await stop.wait()

    async def _follow_detections(self, stop: asyncio.Event) -> None:
        """In every process, as each has its own mount of the folder."""
        untold = [FolderChange(loaded=self._folders.loaded, refused=self._folders.loaded.problems)]
        while not stop.is_set():
            try:
                change = await asyncio.to_thread(self._folders.look)
                if change is not None:
                    self._take_up(change.loaded)
                    untold.append(change)
                # What the ledger could not take is told when it can.
                while untold:
                    await tell_change(self.room, untold[0])
                    untold.pop(0)
            except (SQLAlchemyError, OSError) as error:
                logger.warning(
                    "what changed in the detections cannot be told: %s", type(error).__name__
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_DETECTIONS_S):
                    await stop.wait()

    def _take_up(self, loaded: Loaded) -> None:
        self._detections.clear()
        self._detections.update({one.name: one for one in loaded.detections})
        self._add_redash()
        self._ticker.replace(self._schedules(loaded))

    async def set_channel_locale(self, locale: str) -> None:
        """Choose the language of the cards that everybody sees, and draw them anew."""
        async with self.room.engine.begin() as conn:
            await people.store_preference(conn, CHANNEL_LOCALE, locale)
            await cases.redraw_all_cards(conn)
        self.room.bell.ring(CARDS)

    @asynccontextmanager
    async def _intake(self) -> AsyncIterator[None]:
        """Let Slack in: over a socket where there is an app token, else over HTTP."""
        app = web.Application(client_max_size=2 * 1024 * 1024)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        if self._step_up is not None:
            self._step_up.add_to(app)
        redash_door = redash_door_of(self._settings, self.room)
        if redash_door is not None:
            redash_door.add_to(app)
        socket: AsyncSocketModeHandler | None = None
        if self._settings.slack_app_token is None:
            secrets = [
                secret.get_secret_value()
                for secret in (
                    self._settings.slack_signing_secret,
                    self._settings.slack_signing_secret_previous,
                )
                if secret is not None
            ]
            self._door = FrontDoor(self.bolt, secrets)
            app.router.add_post("/slack/events", self._door.handle)
        else:
            socket = _socket_handler(self.bolt, self._settings, self._client)
        runner = web.AppRunner(
            app, access_log=None, logger=HTTP_LOGGER, shutdown_timeout=HTTP_DRAIN_S
        )
        await runner.setup()
        site = web.TCPSite(runner, self._settings.host, self._settings.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise SayableError(
                f"Port {self._settings.port} on {self._settings.host} is not free: set PORT to another one."
            ) from error
        try:
            if socket is not None:
                await socket.connect_async()  # type: ignore[no-untyped-call]  # Bolt's own lack
            yield
        finally:
            if socket is not None:
                await socket.close_async()  # type: ignore[no-untyped-call]  # Bolt's own lack
            await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        """Alive; asks nobody."""
        return web.json_response({"ok": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        """Able to take a decision now; says what is missing otherwise."""
        problems = await problems_of(self.room.engine)
        if not self._ready or self._stop.is_set():
            problems.append("stopping")
        if self._door is not None and self._door.problem is not None:
            problems.append(self._door.problem)
        if self._publisher.stuck:
            problems.append(f"slack: {self._publisher.stuck}")
        return web.json_response(
            {"ok": not problems, "problems": problems}, status=503 if problems else 200
        )


async def problems_of(engine: AsyncEngine) -> list[str]:
    """What keeps the ledger from taking decisions, in a word or two each."""
    try:
        async with asyncio.timeout(4), engine.connect() as conn:
            if await current_revision(conn) != head_revision():
                return ["ledger: migrate"]
            age_s = await conn.scalar(
                text(
                    "SELECT extract(epoch FROM clock_timestamp() - max(synced_at))::float FROM ledger.people"
                )
            )
    except (SQLAlchemyError, OSError, TimeoutError):
        return ["ledger: unreachable"]
    return ["roles: too old"] if age_s is None or age_s > ROLES_MAX_AGE_S else []


@asynccontextmanager
async def running_parts(
    settings: Settings,
    *,
    clock: Clock | None = None,
    limits: Limits | None = None,
    pace: float = 1.0,
    take_back_s: float | None = None,
) -> AsyncIterator[Bot]:
    """Everything built and checked, ready for `Bot.run`; the shop's own words are chosen first.

    Args:
        take_back_s: how long a dangerous decision can be taken back, in place of what the policy says.
        pace: how many times faster than ours the market's clock runs: its patrol goes round as often by
            that clock, as far as this machine keeps up.

    Raises:
        SayableError: a setting is missing or wrong, the ledger is not migrated, Slack refuses the token.
    """
    require(
        settings,
        "slack_bot_token",
        "alert_channel",
        "database_url",
        "market_database_url",
    )
    if settings.slack_app_token is None:
        require(settings, "slack_signing_secret")
    use_glossary(read_glossary(settings.glossary_file) if settings.glossary_file else {})
    policy = read_policy(settings.policy_file or DEFAULT_POLICY, registry())
    folders = DetectionFolders(detection_folders(settings), actions=registry(), still=[BUILT_IN])
    engine = create_engine(
        secret_of(settings.database_url), pool_size=10, max_overflow=10, pool_pre_ping=True
    )
    try:
        await check_ledger(engine)
        async with aiohttp.ClientSession(timeout=HTTP_TIMEOUT) as session:
            client = AsyncWebClient(
                token=secret_of(settings.slack_bot_token),
                base_url=_with_slash(settings.slack_api_url),
                session=session,
                # The SDK's own retry would post twice after a dropped connection.
                retry_handlers=[],
            )
            identity = await identify(engine, client)
            room = Room(
                engine=engine,
                clock=clock or WallClock(),
                policy=policy,
                bell=Bell(secret_of(settings.database_url), TOPICS),
                channel=settings.alert_channel or "",
                security_channel=settings.security_channel or "",
                dry_run=settings.dry_run,
                home_team=identity.team_id,
                zone=settings.zone,
                take_back_s=take_back_s,
                step_up_url=step_up_url(settings),
            )
            await take_up_policy(room, two_people=settings.policy_changes == "two_people")
            bot = Bot(
                settings,
                room=room,
                client=client,
                session=session,
                identity=identity,
                folders=folders,
                limits=limits,
                pace=pace,
            )
            await bot.prepare()
            if settings.paused:
                await pause_at_start(room, settings.paused)
            yield bot
    finally:
        await engine.dispose()


@asynccontextmanager
async def room_of(settings: Settings) -> AsyncIterator[Room]:
    """The room alone, for a shell: no Slack and no marketplace; running processes tell what came of it.

    Raises:
        SayableError: a setting is missing or wrong, or the ledger is not migrated.
    """
    require(settings, "alert_channel", "database_url")
    engine = create_engine(secret_of(settings.database_url), poolclass=NullPool)
    try:
        await check_ledger(engine)
        yield Room(
            engine=engine,
            clock=WallClock(),
            policy=read_policy(settings.policy_file or DEFAULT_POLICY, registry()),
            bell=Bell(secret_of(settings.database_url), TOPICS),
            channel=settings.alert_channel or "",
            security_channel=settings.security_channel or "",
            dry_run=settings.dry_run,
            home_team="",
            zone=settings.zone,
        )
    finally:
        await engine.dispose()


def verb_map_of(settings: Settings) -> VerbMap | None:
    """The verb map that the settings name.

    Raises:
        SayableError: it cannot be read, or is wrong or unsafe.
    """
    return None if settings.verb_map_file is None else read_verb_map(settings.verb_map_file)


def marketplace_of(
    settings: Settings, verb_map: VerbMap | None, session: aiohttp.ClientSession
) -> Marketplace:
    """The marketplace at the step of adoption that the settings tell; without any, people do everything.

    Raises:
        SayableError: a secret is missing.
    """
    if settings.market_api_token is not None:
        # Half of the pair is a slip, and no wish to do everything by hand.
        require(settings, "market_api_url")
    if settings.market_api_url is None and verb_map is None:
        return MappedMarket(session, BY_HAND)
    mapped = None if verb_map is None else mapped_market(verb_map, session)
    if settings.market_api_url is None and mapped is not None:
        return mapped
    require(settings, "market_api_url", "market_api_token")
    contract = MarketApi(
        session, settings.market_api_url or "", secret_of(settings.market_api_token)
    )
    return contract if mapped is None else MixedMarket(mapped, contract)


def mapped_market(verb_map: VerbMap, session: aiohttp.ClientSession) -> MappedMarket:
    """The shop behind a verb map, with the secret that the map names.

    Raises:
        SayableError: the secret is missing.
    """
    auth = verb_map.auth
    token = read_secret(auth.token_env) if isinstance(auth, Auth) else None
    return MappedMarket(session, verb_map, token)


async def run(settings: Settings) -> None:
    """`mimawari run`: until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with running_parts(settings) as bot:
        await bot.run(stop)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and Ctrl-C end what is under way in good order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)


async def check_ledger(engine: AsyncEngine) -> None:
    """Refuse a ledger that is not there, not migrated, or opened with more rights than we should have."""
    try:
        async with engine.connect() as conn:
            revision = await current_revision(conn)
            may_rewrite = revision is not None and await conn.scalar(
                text("SELECT has_table_privilege('ledger.audit_entries', 'UPDATE')")
            )
    except (SQLAlchemyError, OSError) as error:
        raise SayableError(
            f"The ledger of DATABASE_URL cannot be reached ({type(error).__name__}): is Postgres running, "
            "and are user and password right?"
        ) from error
    if revision != head_revision():
        raise SayableError(
            f"The ledger is at revision {revision or 'none'}, this version needs {head_revision()}: "
            "run `mimawari migrate` first."
        )
    if may_rewrite:
        raise SayableError(
            "DATABASE_URL names a role that could rewrite the audit log: use the application role, and the "
            "owner only in DATABASE_OWNER_URL."
        )


async def identify(engine: AsyncEngine, client: AsyncWebClient) -> Identity:
    """Ask Slack who we are; while it is away, take what it said last time."""
    try:
        answer = await client.auth_test()
    except SlackApiError as error:
        code = error.response.get("error")
        if error.response.status_code >= 500 or code == "ratelimited":
            return await _remembered(engine, str(code))
        raise SayableError(
            f"Slack refuses SLACK_BOT_TOKEN ({code}): install the app again and copy its bot token."
        ) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        return await _remembered(engine, type(error).__name__)
    identity = Identity(
        team_id=answer["team_id"], user_id=answer["user_id"], bot_id=answer.get("bot_id") or ""
    )
    async with engine.begin() as conn:
        await people.store_preference(
            conn, HOME_TEAM, f"{identity.team_id} {identity.user_id} {identity.bot_id}"
        )
    return identity


async def _remembered(engine: AsyncEngine, reason: str) -> Identity:
    async with engine.connect() as conn:
        known = await people.read_preference(conn, HOME_TEAM)
    if known is None:
        raise SayableError(
            f"Slack does not answer ({reason}), and it must at the first start: check SLACK_API_URL and the network."
        )
    team_id, user_id, bot_id = [*known.split(" "), "", ""][:3]
    return Identity(team_id=team_id, user_id=user_id, bot_id=bot_id)


def redash_desk_of(
    settings: Settings,
    reader: MarketReader,
    session: aiohttp.ClientSession,
    *,
    taken: Collection[str] = (),
) -> RedashDesk | None:
    """What turns Redash's rows into cases; None where no map says how.

    Args:
        taken: names of detections that have files.

    Raises:
        SayableError: Redash is set up only in part, or the map is wrong.
    """
    queries = redash_queries_of(settings)
    for one in queries:
        if one.detection.name in taken:
            logger.error(
                "the detection %s has a file, which runs in place of query %d of Redash: take that out of REDASH_MAP",
                one.detection.name,
                one.query_id,
            )
    queries = tuple(one for one in queries if one.detection.name not in taken)
    if not queries:
        return None
    return RedashDesk(
        api=redash_api_of(settings, queries, session),
        queries={one.query_id: one for one in queries},
        reader=reader,
        most_rows=settings.detection_rows,
    )


def is_redash_door_set_up(settings: Settings) -> bool:
    """Whether Redash's webhooks come in; else only polls find what it found.

    Raises:
        SayableError: it is set up only in part.
    """
    names = ("redash_webhook_user", "redash_webhook_password", "redash_webhook_secret")
    if all(getattr(settings, name) is None for name in names):
        return False
    require(settings, *names, "redash_map")
    return True


def redash_door_of(settings: Settings, room: Room) -> RedashDoor | None:
    """Where Redash's webhooks come in, if they do.

    Raises:
        SayableError: it is set up only in part.
    """
    if not is_redash_door_set_up(settings):
        return None
    return RedashDoor(
        partial(store_webhook, room),
        user=settings.redash_webhook_user or "",
        password=secret_of(settings.redash_webhook_password),
        secret=secret_of(settings.redash_webhook_secret),
    )


def step_up_url(settings: Settings) -> str:
    """Where links to sign in lead; empty without an identity provider.

    Raises:
        SayableError: a provider is set up only in part.
    """
    if settings.oidc_issuer is None:
        return ""
    require(settings, "oidc_client_id", "public_url")
    return (settings.public_url or "").rstrip("/") + STEP_UP_PATH


def identity_provider(settings: Settings, session: aiohttp.ClientSession) -> IdentityProvider:
    """The provider that the settings name.

    Raises:
        SayableError: it is named only in part.
    """
    require(settings, "oidc_issuer", "oidc_client_id", "public_url")
    return IdentityProvider(
        session,
        issuer=settings.oidc_issuer or "",
        client_id=settings.oidc_client_id or "",
        client_secret=secret_of(settings.oidc_client_secret) or None,
        redirect_uri=(settings.public_url or "").rstrip("/") + STEP_UP_BACK,
        acr=settings.oidc_acr,
    )


def _step_up_pages(
    settings: Settings, room: Room, client: AsyncWebClient, session: aiohttp.ClientSession
) -> StepUpPages | None:
    if settings.oidc_issuer is None:
        return None
    return StepUpPages(
        room,
        identity_provider(settings, session),
        partial(email_in_slack, client),
        public_url=settings.public_url or "",
        tz=settings.zone,
        default_locale=settings.locale,
    )


def _socket_handler(
    app: AsyncApp, settings: Settings, client: AsyncWebClient
) -> AsyncSocketModeHandler:
    token = secret_of(settings.slack_app_token)
    return AsyncSocketModeHandler(
        app, token, web_client=AsyncWebClient(token=token, base_url=client.base_url)
    )


def _with_slash(url: str) -> str:
    return url if url.endswith("/") else url + "/"
