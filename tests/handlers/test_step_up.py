from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text

from bot.cards.refusals import refusal_sentence
from bot.cases.approving import approve
from bot.cases.deciding import Decided, decide
from bot.cases.policy import Policy, StepUpRule, parse_policy
from bot.cases.room import TOKYO, Press, Room
from bot.domain.cases import CaseState, CaseView
from bot.domain.errors import SayableError
from bot.domain.refusals import Refusal, RefusalCode
from bot.handlers.identity import IdentityProvider
from bot.handlers.step_up import BACK, CONFIRM, COOKIE, PATH, StepUpPages
from bot.ledger import audit
from bot.locale import messages_for
from bot.playground.identity import Client, LocalIdentity, serving
from tests.cases.conftest import room as room
from tests.cases.stage import an_open_case, cancel_choice, press_of, reread

AGENT, LEAD, LEAD_2 = "U0SATO", "U0TANAKA", "U0SMITH"
EMAILS = {LEAD: "tanaka@shop.example", LEAD_2: "smith@shop.example"}
LARGE, SMALL = 600_000, 400_000
SECRET = "a-secret-that-both-sides-know"


def with_step_up(room: Room, url: str) -> Room:
    file = room.policy.file.model_copy(update={"step_up": StepUpRule(above={"JPY": 500_000})})
    return replace(room, policy=Policy(file=file, hash=room.policy.hash), step_up_url=url)


@dataclass(kw_only=True)
class House:
    """The bot's pages, the identity provider, and one browser."""

    room: Room
    identity: LocalIdentity
    url: str
    browser: aiohttp.ClientSession
    emails: dict[str, str | None]

    async def get(self, url: str) -> tuple[int, str, str]:
        async with self.browser.get(url, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    async def post(self, url: str, form: dict[str, str]) -> tuple[int, str, str]:
        async with self.browser.post(url, data=form, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    async def to_the_provider(self, link: str) -> dict[str, str]:
        """What the browser is sent to the provider with."""
        status, _, location = await self.get(link)
        assert status == 303
        assert location.startswith(self.identity.issuer)
        return dict(parse_qsl(urlsplit(location).query))

    async def back_from_the_provider(self, link: str, user: str = LEAD) -> str:
        """The address that the provider sends the browser back to, once this person signed in."""
        asked = await self.to_the_provider(link)
        status, _, back = await self.post(
            f"{self.identity.issuer}/sign-in", {**asked, "email": EMAILS[user]}
        )
        assert status == 303
        return back

    async def to_the_button(self, link: str) -> str:
        """The secret of the page that says what is about to be approved."""
        status, page, _ = await self.get(await self.back_from_the_provider(link))
        assert status == 200
        return csrf_of(page)

    async def press_the_button(self, csrf: str) -> tuple[int, str]:
        status, page, _ = await self.post(self.url + CONFIRM, {"csrf": csrf})
        return status, page


@pytest.fixture
async def house(room: Room) -> AsyncIterator[House]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        room = with_step_up(room, url + PATH)
        emails: dict[str, str | None] = dict(EMAILS)
        client = Client(client_id="mimawari", client_secret=SECRET, redirect_uri=url + BACK)
        identity = LocalIdentity(client, EMAILS)

        async def email_of(user_id: str) -> str | None:
            return emails.get(user_id)

        async with serving(identity), aiohttp.ClientSession() as session:
            pages = StepUpPages(
                room,
                IdentityProvider(
                    session,
                    issuer=identity.issuer,
                    client_id=client.client_id,
                    client_secret=SECRET,
                    redirect_uri=client.redirect_uri,
                ),
                email_of,
                public_url=url,
                tz=TOKYO,
                default_locale="en",
            )
            app = web.Application()
            pages.add_to(app)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            async with a_browser() as browser:
                yield House(room=room, identity=identity, url=url, browser=browser, emails=emails)
            await runner.cleanup()


def a_browser() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def csrf_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def a_request(room: Room, amount: int = LARGE, order: str = "O-1") -> tuple[CaseView, str]:
    view = await an_open_case(room, order, amount=amount)
    answer = await decide(room, press_of(view, AGENT), cancel_choice(order))
    assert isinstance(answer, Decided)
    assert answer.decision_id is not None
    return await reread(room, view), answer.decision_id


async def a_link(room: Room, view: CaseView, decision_id: str, user: str = LEAD) -> str:
    answer = await approve(room, press_of(view, user), decision_id)
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.STEP_UP
    assert answer.detail is not None
    return answer.detail


async def is_approved(room: Room, view: CaseView) -> bool:
    after = await reread(room, view)
    assert after.decision is not None
    return bool(after.decision.approvals) or after.state is not CaseState.AWAITING_APPROVAL


async def tags(room: Room) -> list[str]:
    async with room.engine.connect() as conn:
        rows = await conn.execute(text("SELECT tag FROM ledger.audit_entries ORDER BY seq"))
        return [row.tag for row in rows]


# ---- The good path


async def test_who_signs_in_and_confirms_has_approved(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    assert not await is_approved(house.room, view)
    status, page, _ = await house.get(await house.back_from_the_provider(link))
    assert status == 200
    for told in ("¥600,000", "O-1", "C-", "佐藤", "盗難カード"):
        assert told in page
    assert "<script" not in page
    assert not await is_approved(house.room, view)
    status, page = await house.press_the_button(csrf_of(page))
    assert status == 200
    assert "承認しました" in page
    after = await reread(house.room, view)
    assert after.state is CaseState.EXECUTING
    assert after.decision is not None
    assert [given.user_id for given in after.decision.approvals] == [LEAD]
    assert (await tags(house.room))[-3:] == [
        "person:step_up:asked",
        "person:step_up:signed_in",
        "person:decision:approved",
    ]
    async with house.room.engine.connect() as conn:
        assert (await audit.verify(conn)).ok
        given = (
            await conn.execute(
                text(
                    "SELECT s.used_at FROM ledger.approvals JOIN ledger.step_ups s USING (step_up_id)"
                )
            )
        ).all()
    assert len(given) == 1
    assert given[0].used_at is not None


async def test_the_answer_in_slack_holds_the_link_and_says_that_nothing_is_approved(
    house: House,
) -> None:
    view, decision_id = await a_request(house.room)
    answer = await approve(house.room, press_of(view, LEAD), decision_id)
    assert isinstance(answer, Refusal)
    for locale, words in (("ja", "まだ承認されていません"), ("en", "Nothing is approved yet")):
        sentence = refusal_sentence(answer, messages_for(locale), TOKYO)
        assert f"<{answer.detail}|" in sentence
        assert words in sentence


async def test_a_rotated_key_is_found_by_its_name(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    back = await house.back_from_the_provider(link)
    house.identity.rotate(keep_old=True)
    status, page, _ = await house.get(back)
    assert status == 200
    house.identity.rotate()
    assert (await house.press_the_button(csrf_of(page)))[0] == 200


async def test_the_address_in_slack_may_be_written_in_other_letters(house: House) -> None:
    house.emails[LEAD] = "Tanaka@Shop.Example"
    view, decision_id = await a_request(house.room)
    csrf = await house.to_the_button(await a_link(house.room, view, decision_id))
    assert (await house.press_the_button(csrf))[0] == 200


# ---- Links


async def test_a_link_that_nobody_made_leads_nowhere(house: House) -> None:
    for token in ("A" * 43, "x", "A" * 43 + "%00", "back" * 10):
        status, page, _ = await house.get(f"{house.url}{PATH}/{token}")
        assert status == 410
        assert "This link" in page


async def test_a_used_link_leads_nowhere_and_the_button_works_once(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    csrf = await house.to_the_button(link)
    assert (await house.press_the_button(csrf))[0] == 200
    assert (await house.press_the_button(csrf))[0] == 410
    assert (await house.get(link))[0] == 410
    assert (await tags(house.room)).count("person:decision:approved") == 1


async def test_a_link_runs_out(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    csrf = await house.to_the_button(link)
    async with house.room.engine.begin() as conn:
        await conn.execute(text("UPDATE ledger.step_ups SET expires_at = clock_timestamp()"))
    assert (await house.press_the_button(csrf))[0] == 410
    assert (await house.get(link))[0] == 410
    assert not await is_approved(house.room, view)


async def test_only_the_newest_link_of_a_person_counts(house: House) -> None:
    view, decision_id = await a_request(house.room)
    old = await a_link(house.room, view, decision_id)
    new = await a_link(house.room, view, decision_id)
    assert (await house.get(old))[0] == 410
    assert (await house.get(new))[0] == 303


async def test_a_link_cannot_be_opened_without_end(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    answers = [(await house.get(link))[0] for _ in range(11)]
    assert answers == [303] * 10 + [410]


async def test_the_browser_that_began_must_be_the_one_that_ends(house: House) -> None:
    view, decision_id = await a_request(house.room)
    back = await house.back_from_the_provider(await a_link(house.room, view, decision_id))
    # One without a cookie, and one that has begun with a link of its own.
    strangers: tuple[dict[str, str], ...] = ({}, {COOKIE: "A" * 43})
    for cookies in strangers:
        async with a_browser() as other, other.get(back, cookies=cookies) as answer:
            assert answer.status == 410
    csrf = csrf_of((await house.get(back))[1])
    for cookies in strangers:
        async with (
            a_browser() as other,
            other.post(house.url + CONFIRM, data={"csrf": csrf}, cookies=cookies) as answer,
        ):
            assert answer.status == 410
    assert not await is_approved(house.room, view)


async def test_without_the_secret_of_the_page_nothing_is_approved(house: House) -> None:
    view, decision_id = await a_request(house.room)
    await house.to_the_button(await a_link(house.room, view, decision_id))
    for form in ({}, {"csrf": "A" * 43}, {"csrf": ""}):
        assert (await house.post(house.url + CONFIRM, form))[0] == 410
    assert not await is_approved(house.room, view)


async def test_the_way_back_works_once(house: House) -> None:
    view, decision_id = await a_request(house.room)
    back = await house.back_from_the_provider(await a_link(house.room, view, decision_id))
    assert (await house.get(back))[0] == 200
    assert (await house.get(back))[0] == 410


async def test_a_request_that_was_rejected_meanwhile_is_not_approved(house: House) -> None:
    from bot.cases.approving import reject

    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    csrf = await house.to_the_button(link)
    await reject(house.room, press_of(view, LEAD_2), decision_id, reason="No")
    status, page = await house.press_the_button(csrf)
    assert status == 409
    assert "何も実行していません" in page
    status, page, _ = await house.get(await house.back_from_the_provider(link))
    assert status == 409
    assert (await reread(house.room, view)).state is CaseState.OPEN


async def test_a_proof_is_for_its_own_person_and_request_alone(house: House) -> None:
    view, decision_id = await a_request(house.room)
    other, other_id = await a_request(house.room, order="O-2")
    await house.to_the_button(await a_link(house.room, view, decision_id))
    async with house.room.engine.connect() as conn:
        proof = await conn.scalar(text("SELECT step_up_id FROM ledger.step_ups"))
    for press, about in (
        (press_of(view, LEAD_2), decision_id),
        (press_of(other, LEAD), other_id),
    ):
        answer = await approve(house.room, press, about, step_up=proof)
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.LINK_ENDED
    assert not await is_approved(house.room, view)
    assert not await is_approved(house.room, other)


async def test_a_role_that_is_lost_before_the_button_is_told(house: House) -> None:
    view, decision_id = await a_request(house.room)
    csrf = await house.to_the_button(await a_link(house.room, view, decision_id))
    async with house.room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.people SET roles = '{agent}' WHERE user_id = :user"), {"user": LEAD}
        )
    status, page = await house.press_the_button(csrf)
    assert status == 403
    assert "承認" in page
    assert not await is_approved(house.room, view)


# ---- Who signs in, and how


async def test_somebody_else_who_signs_in_approves_nothing(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    status, page, _ = await house.get(await house.back_from_the_provider(link, user=LEAD_2))
    assert status == 403
    assert "別の方" in page
    assert not await is_approved(house.room, view)
    assert (await tags(house.room))[-1] == "person:step_up:refused"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of-another-sign-in-altogether"},
        {"nonce": None},
        {"aud": "another-app"},
        {"aud": ["mimawari", "another-app"]},
        {"aud": ["mimawari", "another-app"], "azp": "another-app"},
        {"iss": "https://evil.example"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 4_000_000_000},
        {"auth_time": 1_700_000_000},
        {"auth_time": None},
        {"auth_time": True},
        {"email": None},
        {"email_verified": False},
    ],
    ids=str,
)
async def test_a_token_that_says_anything_else_is_not_accepted(
    house: House, claims: dict[str, object]
) -> None:
    house.identity.lies.claims = claims
    await nothing_is_accepted(house)


@pytest.mark.parametrize("lie", ["unsigned", "foreign_key", "shared_secret"])
async def test_a_token_that_the_provider_did_not_sign_is_not_accepted(
    house: House, lie: str
) -> None:
    setattr(house.identity.lies, lie, SECRET if lie == "shared_secret" else True)
    await nothing_is_accepted(house)


async def nothing_is_accepted(house: House) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    status, page, _ = await house.get(await house.back_from_the_provider(link))
    assert status == 403
    assert "サインインを確認できなかった" in page
    assert "csrf" not in page
    assert not await is_approved(house.room, view)
    assert (await tags(house.room))[-1] == "person:step_up:refused"


async def test_who_cancels_at_the_provider_approves_nothing(house: House) -> None:
    view, decision_id = await a_request(house.room)
    asked = await house.to_the_provider(await a_link(house.room, view, decision_id))
    told = urlencode({"error": "access_denied", "state": asked["state"]})
    assert (await house.get(f"{house.url}{BACK}?{told}"))[0] == 403
    assert not await is_approved(house.room, view)


@pytest.mark.parametrize("when", ["at the link", "on the way back"])
async def test_a_provider_that_is_away_approves_nothing_and_says_so(
    house: House, when: str
) -> None:
    view, decision_id = await a_request(house.room)
    link = await a_link(house.room, view, decision_id)
    if when == "at the link":
        house.identity.lies.away = True
        status, page, _ = await house.get(link)
    else:
        back = await house.back_from_the_provider(link)
        house.identity.lies.away = True
        status, page, _ = await house.get(back)
    assert status == 503
    assert "応答しない" in page
    assert not await is_approved(house.room, view)
    house.identity.lies.away = False
    csrf = await house.to_the_button(link)
    assert (await house.press_the_button(csrf))[0] == 200


async def test_where_slack_does_not_say_who_it_is_nothing_is_approved(house: House) -> None:
    house.emails[LEAD] = None
    view, decision_id = await a_request(house.room)
    back = await house.back_from_the_provider(await a_link(house.room, view, decision_id))
    assert (await house.get(back))[0] == 503
    assert not await is_approved(house.room, view)


# ---- The policy


async def test_below_the_limit_nobody_is_asked(house: House) -> None:
    view, decision_id = await a_request(house.room, SMALL)
    assert isinstance(await approve(house.room, press_of(view, LEAD), decision_id), Decided)


async def test_off_by_default_nothing_changes(room: Room) -> None:
    assert room.policy.file.step_up is None
    view, decision_id = await a_request(room)
    assert isinstance(await approve(room, press_of(view, LEAD), decision_id), Decided)


async def test_above_the_limit_nobody_decides_alone(house: House) -> None:
    rule = house.room.policy.file.actions["cancel"].model_copy(
        update={"second_person_above": {"JPY": 10_000_000}}
    )
    file = house.room.policy.file.model_copy(
        update={"actions": {**house.room.policy.file.actions, "cancel": rule}}
    )
    room = replace(house.room, policy=Policy(file=file, hash="0" * 64))
    small = await an_open_case(room, "O-1", amount=SMALL)
    answer = await decide(room, press_of(small, LEAD), cancel_choice("O-1"))
    assert isinstance(answer, Decided)
    assert not answer.awaiting_approval
    large = await an_open_case(room, "O-2", amount=LARGE)
    answer = await decide(room, press_of(large, LEAD), cancel_choice("O-2"))
    assert isinstance(answer, Decided)
    assert answer.awaiting_approval


async def test_without_a_provider_nobody_approves_above_the_limit(house: House) -> None:
    room = replace(house.room, step_up_url="")
    view, decision_id = await a_request(room)
    answer = await approve(room, press_of(view, LEAD), decision_id)
    assert isinstance(answer, Refusal)
    assert (answer.code, answer.detail) == (RefusalCode.STEP_UP, None)
    assert "none is set up" in refusal_sentence(answer, messages_for("en"), TOKYO)
    assert not await is_approved(room, view)


async def test_who_asked_gets_no_link(house: House) -> None:
    view, decision_id = await a_request(house.room)
    answer = await approve(
        house.room, Press(user_id=AGENT, case_id=view.case_id, version=view.version), decision_id
    )
    assert isinstance(answer, Refusal)
    assert answer.code is RefusalCode.OWN_REQUEST
    assert "person:step_up:asked" not in await tags(house.room)


def test_the_policy_must_leave_somebody_to_approve() -> None:
    told = "roles: {}\nstep_up: {above: {JPY: 1}}\nactions: {refund: {request: [agent]}}\n"
    with pytest.raises(SayableError, match="step_up needs a list of roles"):
        parse_policy(told, ["refund"], name="policy.yml")


# ---- The provider of our own is as strict as a real one


async def test_the_local_provider_refuses_what_a_provider_must(house: House) -> None:
    view, decision_id = await a_request(house.room)
    asked = await house.to_the_provider(await a_link(house.room, view, decision_id))
    for change, why in (
        ({"redirect_uri": "https://evil.example/step-up/back"}, "redirect_uri"),
        ({"code_challenge": ""}, "pkce"),
        ({"code_challenge_method": "plain"}, "pkce"),
        ({"client_id": "another-app"}, "client_id"),
        ({"nonce": ""}, "nonce"),
        ({"state": ""}, "state"),
    ):
        query = urlencode({**asked, **change})
        status, _, location = await house.get(f"{house.identity.issuer}/authorize?{query}")
        assert (status, location) == (400, "")
        assert house.identity.refusals[-1] == why


async def test_the_local_provider_gives_one_token_a_code_and_only_for_its_verifier(
    house: House,
) -> None:
    view, decision_id = await a_request(house.room)
    back = await house.back_from_the_provider(await a_link(house.room, view, decision_id))
    (code,) = parse_qs(urlsplit(back).query)["code"]
    form = {
        "grant_type": "authorization_code",
        "client_id": "mimawari",
        "client_secret": SECRET,
        "redirect_uri": house.url + BACK,
        "code": code,
        "code_verifier": "not-the-one-that-it-was-asked-with",
    }
    for why in ("pkce", "reused_code"):
        assert (await house.post(f"{house.identity.issuer}/token", form))[0] == 400
        assert house.identity.refusals[-1] == why
