"""Step-up: who approves the largest decisions signs in once more, by a link that is used up by that approval."""

from __future__ import annotations

from secrets import token_urlsafe
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.cases.policy import needs_step_up
from bot.cases.room import Room
from bot.domain.audit import AuditEntry, AuditTag
from bot.domain.cases import CaseView, Decision
from bot.domain.refusals import Refusal, RefusalCode
from bot.domain.step_up import SignIn, StepUp
from bot.ledger import audit, cases, step_ups

LINK_LIVES_S = 600.0


async def judge_step_up(
    conn: AsyncConnection,
    room: Room,
    user_id: str,
    view: CaseView,
    decision: Decision,
    proof: str | None,
) -> Refusal | None:
    """None where no sign-in is needed or `proof` is one for this very approval, which it uses up.

    Else a refusal that carries a new link, for nobody but the person who pressed. Where no identity
    provider is set up there is no link, and no approval.
    """
    if not needs_step_up(room.policy, decision.amounts):
        return None
    if proof is not None:
        used = await step_ups.use(
            conn,
            proof,
            user_id=user_id,
            decision_id=decision.decision_id,
            params_hash=decision.params_hash,
            case_version=view.version,
        )
        return None if used else Refusal(code=RefusalCode.LINK_ENDED, case_id=view.case_id)
    if not room.step_up_url:
        return Refusal(code=RefusalCode.STEP_UP, case_id=view.case_id)
    token = token_urlsafe(32)
    step_up = StepUp(
        step_up_id=f"stp_{uuid4().hex}",
        user_id=user_id,
        case_id=view.case_id,
        case_version=view.version,
        decision_id=decision.decision_id,
        params_hash=decision.params_hash,
    )
    await step_ups.insert(conn, step_up, token, lives_s=LINK_LIVES_S)
    await audit.append(conn, [_entry(AuditTag.STEP_UP_ASKED, step_up)])
    return Refusal(
        code=RefusalCode.STEP_UP, case_id=view.case_id, detail=f"{room.step_up_url}/{token}"
    )


async def begin(room: Room, token: str) -> tuple[StepUp, SignIn] | None:
    """Open a link in a browser; None where it cannot be opened."""
    sign_in = SignIn(
        browser=token_urlsafe(32),
        state=token_urlsafe(32),
        nonce=token_urlsafe(32),
        code_verifier=token_urlsafe(48),
    )
    async with room.engine.begin() as conn:
        step_up = await step_ups.begin(conn, token, sign_in)
    return (step_up, sign_in) if step_up else None


async def come_back(room: Room, *, browser: str, state: str) -> tuple[StepUp, str, str] | None:
    """The link of a browser that is back from the provider, with the hash of its nonce and its verifier."""
    async with room.engine.begin() as conn:
        return await step_ups.come_back(conn, browser=browser, state=state)


async def signed_in(room: Room, step_up: StepUp) -> tuple[CaseView, Decision, str] | None:
    """Write down that the right person signed in; what they are about to approve, and the page's own secret.

    None where the request has changed, or waits no more.
    """
    csrf = token_urlsafe(32)
    async with room.engine.begin() as conn:
        view = await cases.read_view(conn, step_up.case_id)
        decision = view.decision if view else None
        if (
            view is None
            or decision is None
            or view.version != step_up.case_version
            or decision.decision_id != step_up.decision_id
            or decision.params_hash != step_up.params_hash
            or not await step_ups.sign_in(conn, step_up.step_up_id, csrf=csrf)
        ):
            return None
        await audit.append(conn, [_entry(AuditTag.STEP_UP_SIGNED_IN, step_up)])
    return view, decision, csrf


async def refused(room: Room, step_up: StepUp, why: str) -> None:
    """Write down that a sign-in was not accepted, and why, in a word."""
    async with room.engine.begin() as conn:
        await audit.append(conn, [_entry(AuditTag.STEP_UP_REFUSED, step_up, why=why)])


async def find_signed_in(room: Room, *, browser: str, csrf: str) -> StepUp | None:
    """Whose confirmation this is; None where it is nobody's, or too late."""
    async with room.engine.begin() as conn:
        return await step_ups.find_signed_in(conn, browser=browser, csrf=csrf)


def _entry(tag: AuditTag, step_up: StepUp, **details: str) -> AuditEntry:
    return AuditEntry(
        actor=step_up.user_id,
        tag=tag,
        case_id=step_up.case_id,
        decision_id=step_up.decision_id,
        details={"step_up": step_up.step_up_id, "params_hash": step_up.params_hash, **details},
    )
