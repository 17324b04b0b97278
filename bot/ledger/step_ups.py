"""Named queries about step-up links: made, begun, signed in, used; secrets as hashes only."""

from __future__ import annotations

import hashlib

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.domain.step_up import SignIn, StepUp

MAX_STARTS = 10
"""How often one link may be opened: a reload is no attack, a hundred are."""

_LIVE = "used_at IS NULL AND expires_at > clock_timestamp()"


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def insert(conn: AsyncConnection, step_up: StepUp, token: str, *, lives_s: float) -> None:
    """A new link; those that the person got before for the same decision end."""
    await conn.execute(
        text(
            """UPDATE ledger.step_ups SET expires_at = least(expires_at, clock_timestamp())
                WHERE decision_id = :decision_id AND user_id = :user_id AND used_at IS NULL"""
        ),
        {"decision_id": step_up.decision_id, "user_id": step_up.user_id},
    )
    await conn.execute(
        text(
            """INSERT INTO ledger.step_ups
                 (step_up_id, token_hash, user_id, case_id, case_version, decision_id, params_hash, expires_at)
               VALUES (:step_up_id, :token_hash, :user_id, :case_id, :case_version, :decision_id, :params_hash,
                       clock_timestamp() + make_interval(secs => :lives_s))"""
        ),
        {
            "step_up_id": step_up.step_up_id,
            "token_hash": hashed(token),
            "user_id": step_up.user_id,
            "case_id": step_up.case_id,
            "case_version": step_up.case_version,
            "decision_id": step_up.decision_id,
            "params_hash": step_up.params_hash,
            "lives_s": lives_s,
        },
    )


async def begin(conn: AsyncConnection, token: str, sign_in: SignIn) -> StepUp | None:
    """Take a browser in by its link; None where the link is unknown, used, too old or opened too often.

    A sign-in that was under way by the same link ends with it.
    """
    row = (
        await conn.execute(
            text(
                f"""UPDATE ledger.step_ups
                       SET browser_hash = :browser, state_hash = :state, nonce_hash = :nonce,
                           code_verifier = :verifier, signed_in_at = NULL, csrf_hash = NULL, starts = starts + 1
                     WHERE token_hash = :token AND starts < :max_starts AND {_LIVE} RETURNING *"""  # noqa: S608
            ),
            {
                "browser": hashed(sign_in.browser),
                "state": hashed(sign_in.state),
                "nonce": hashed(sign_in.nonce),
                "verifier": sign_in.code_verifier,
                "token": hashed(token),
                "max_starts": MAX_STARTS,
            },
        )
    ).first()
    return _step_up(row) if row else None


async def come_back(
    conn: AsyncConnection, *, browser: str, state: str
) -> tuple[StepUp, str, str] | None:
    """The link of a browser that comes back from the provider, its nonce's hash and its verifier; once a state."""
    row = (
        await conn.execute(
            text(
                f"""WITH mine AS (
                      SELECT step_up_id, nonce_hash, code_verifier FROM ledger.step_ups
                       WHERE browser_hash = :browser AND state_hash = :state AND {_LIVE} FOR UPDATE)
                    UPDATE ledger.step_ups s SET state_hash = NULL, nonce_hash = NULL, code_verifier = NULL
                      FROM mine WHERE s.step_up_id = mine.step_up_id
                 RETURNING s.*, mine.nonce_hash AS told_nonce, mine.code_verifier AS told_verifier"""  # noqa: S608
            ),
            {"browser": hashed(browser), "state": hashed(state)},
        )
    ).first()
    return (_step_up(row), row.told_nonce, row.told_verifier) if row else None


async def sign_in(conn: AsyncConnection, step_up_id: str, *, csrf: str) -> bool:
    """Write down that the right person signed in; `csrf` must come with the confirmation."""
    result = await conn.execute(
        text(
            f"""UPDATE ledger.step_ups SET signed_in_at = clock_timestamp(), csrf_hash = :csrf
                 WHERE step_up_id = :id AND state_hash IS NULL AND browser_hash IS NOT NULL AND {_LIVE}"""  # noqa: S608
        ),
        {"id": step_up_id, "csrf": hashed(csrf)},
    )
    return result.rowcount == 1


async def find_signed_in(conn: AsyncConnection, *, browser: str, csrf: str) -> StepUp | None:
    """The link whose confirmation this is, if it can still be used."""
    row = (
        await conn.execute(
            text(
                f"""SELECT * FROM ledger.step_ups
                     WHERE browser_hash = :browser AND csrf_hash = :csrf AND {_LIVE}"""  # noqa: S608
            ),
            {"browser": hashed(browser), "csrf": hashed(csrf)},
        )
    ).first()
    return _step_up(row) if row else None


async def use(
    conn: AsyncConnection,
    step_up_id: str,
    *,
    user_id: str,
    decision_id: str,
    params_hash: str,
    case_version: int,
) -> bool:
    """Use a link up, in the transaction of the approval that it is for; False: it is not for this, or no more."""
    result = await conn.execute(
        text(
            f"""UPDATE ledger.step_ups SET used_at = clock_timestamp()
                 WHERE step_up_id = :id AND user_id = :user_id AND decision_id = :decision_id
                   AND params_hash = :params_hash AND case_version = :case_version
                   AND signed_in_at IS NOT NULL AND {_LIVE}"""  # noqa: S608
        ),
        {
            "id": step_up_id,
            "user_id": user_id,
            "decision_id": decision_id,
            "params_hash": params_hash,
            "case_version": case_version,
        },
    )
    return result.rowcount == 1


def _step_up(row: Row[tuple[object, ...]]) -> StepUp:
    return StepUp(
        step_up_id=row.step_up_id,
        user_id=row.user_id,
        case_id=row.case_id,
        case_version=row.case_version,
        decision_id=row.decision_id,
        params_hash=row.params_hash,
    )
