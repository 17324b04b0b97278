"""Two people put a detection into another mode, on what it has shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from bot.cases.agreeing import agree
from bot.cases.modes import sort_findings
from bot.cases.policy import Automatic
from bot.cases.proposing import Answered, reject
from bot.cases.proposing_modes import propose_mode, standings
from bot.cases.room import Room
from bot.detections.detection import Detection
from bot.domain.findings import Mode
from bot.domain.modes import Cause
from bot.domain.refusals import Refusal, RefusalCode
from bot.ledger import audit, modes
from bot.ledger.findings import insert_findings
from tests.cases.test_modes import (
    DAY,
    a_detection,
    findings,
    mode_of,
    modes_of,
    notices,
    run_of,
)
from tests.cases.test_reminding import tags, under

ENGINEER, LEAD, AGENT, NOBODY = "U0ITO", "U0TANAKA", "U0SATO", "U0YAMADA"


def careful(room: Room, **entries: object) -> Room:
    rule = {"caps": {"JPY": 100_000}, "count": 20, "decided": 10, "precision": 0.9, **entries}
    return under(room, automatic=Automatic.model_validate(rule))


async def judged(room: Room, detection: Detection, *, fraud: int, good: int) -> None:
    """Findings in shadow that people have judged, each by a case about the same order."""
    orders = [f"J-{n}" for n in range(fraud + good)]
    async with room.engine.begin() as conn:
        await insert_findings(conn, findings(room, detection, *orders), room.clock.now() - DAY)
        for n, order in enumerate(orders):
            await conn.execute(
                text(
                    """UPDATE ledger.findings SET mode = 'shadow', verdict = :verdict
                        WHERE subject_id = :order"""
                ),
                {"verdict": "fraud" if n < fraud else "good", "order": order},
            )


async def proposed(room: Room, detection: Detection, mode: Mode, *, by: str = ENGINEER) -> Answered:
    asked = await propose_mode(room, by, detection, mode, "結果が良いため")
    assert isinstance(asked, Answered), asked
    return asked


async def refused(room: Room, detection: Detection, mode: Mode, *, by: str = ENGINEER) -> Refusal:
    asked = await propose_mode(room, by, detection, mode, "結果が良いため")
    assert isinstance(asked, Refusal), asked
    return asked


async def put_into(room: Room, detection: Detection, mode: Mode) -> None:
    asked = await proposed(room, detection, mode)
    answered = await agree(room, LEAD, asked.proposal.proposal_id)
    assert isinstance(answered, Answered), answered


async def test_one_person_proposes_a_mode_and_another_approves_it(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    asked = await proposed(room, detection, Mode.SHADOW)
    assert asked.missing == 1
    assert await mode_of(room, detection) is None
    answered = await agree(room, LEAD, asked.proposal.proposal_id)
    assert isinstance(answered, Answered)
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.APPROVED)
    async with room.engine.connect() as conn:
        row = (await modes.read_modes(conn))[detection.name]
        assert (row.proposed_by, row.approved_by) == (ENGINEER, LEAD)
        assert row.file_hash == detection.hash
        assert (await audit.verify(conn)).ok
    await run_of(room, detection, findings(room, detection, "O-1"))
    assert await modes_of(room) == {"O-1": "shadow"}
    assert [what for what, _ in await notices(room)] == ["approved"]
    assert await tags(room, "person:mode:%") == ["person:mode:set"]


async def test_nobody_approves_their_own_and_who_has_no_role_proposes_nothing(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    asked = await proposed(room, detection, Mode.SHADOW)
    own = await agree(room, ENGINEER, asked.proposal.proposal_id)
    assert isinstance(own, Refusal)
    assert own.code is RefusalCode.OWN_PROPOSAL
    for person in (AGENT, NOBODY):
        assert (await refused(room, detection, Mode.SHADOW, by=person)).code is RefusalCode.NO_ROLE
        wrong = await agree(room, person, asked.proposal.proposal_id)
        assert isinstance(wrong, Refusal)
    assert await mode_of(room, detection) is None


async def test_what_is_turned_down_changes_nothing(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path)
    asked = await proposed(room, detection, Mode.SHADOW)
    assert isinstance(await reject(room, LEAD, asked.proposal.proposal_id), Answered)
    assert await mode_of(room, detection) is None


async def test_who_proposes_what_another_has_proposed_agrees(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path)
    await proposed(room, detection, Mode.SHADOW)
    answered = await propose_mode(room, LEAD, detection, Mode.SHADOW, "同意します")
    assert isinstance(answered, Answered)
    assert answered.missing == 0
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.APPROVED)


async def test_the_proposal_shows_what_the_detection_has_shown(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path)
    await judged(room, detection, fraud=9, good=1)
    asked = await proposed(room, detection, Mode.SHADOW)
    counts = {"days": 90, "findings": 10, "fraud": 9, "good": 1}
    assert asked.proposal.body["counts"] == counts
    async with room.engine.connect() as conn:
        story = await conn.scalar(
            text("SELECT story FROM ledger.posts WHERE story ->> 'kind' = 'proposal'")
        )
    assert dict(story["counts"]) == counts
    assert (story["mode"], story["title_en"]) == ("shadow", "Suspected large order")


async def test_automatic_needs_the_policy_and_enough_findings_judged_right(
    room: Room, tmp_path: Path
) -> None:
    detection = a_detection(tmp_path)
    assert (await refused(room, detection, Mode.AUTOMATIC)).code is RefusalCode.NO_AUTOMATIC
    room = careful(room)
    await judged(room, detection, fraud=9, good=0)
    few = await refused(room, detection, Mode.AUTOMATIC)
    assert (few.code, few.amount, few.count) == (RefusalCode.NOT_PROVEN, 9, 10)
    await judged(room, detection, fraud=9, good=1)
    await put_into(room, detection, Mode.AUTOMATIC)
    assert await mode_of(room, detection) == (Mode.AUTOMATIC, Cause.APPROVED)


async def test_who_is_wrong_too_often_does_not_become_automatic(room: Room, tmp_path: Path) -> None:
    detection = a_detection(tmp_path)
    room = careful(room)
    await judged(room, detection, fraud=17, good=3)
    wrong = await refused(room, detection, Mode.AUTOMATIC)
    assert (wrong.code, wrong.reason) == (RefusalCode.NOT_PROVEN, "85")


async def test_another_file_puts_an_automatic_detection_back_to_review(
    room: Room, tmp_path: Path
) -> None:
    room = careful(room)
    detection = a_detection(tmp_path)
    await judged(room, detection, fraud=10, good=0)
    await put_into(room, detection, Mode.AUTOMATIC)
    told = await sort_findings(
        room, detection, findings(room, detection, "O-1"), first=False, now=room.clock.now()
    )
    assert [finding.mode for finding in told] == [Mode.AUTOMATIC]
    changed = a_detection(tmp_path, ("daily_cap: 50", "daily_cap: 60"))
    assert changed.hash != detection.hash
    told = await sort_findings(
        room, changed, findings(room, changed, "O-1"), first=False, now=room.clock.now()
    )
    assert [finding.mode for finding in told] == [Mode.REVIEW]
    await sort_findings(room, changed, [], first=False, now=room.clock.now())
    assert [what for what, _ in await notices(room)] == ["approved", "file_changed"]
    assert await mode_of(room, changed) == (Mode.REVIEW, Cause.FILE_CHANGED)
    # The same person pair may put the new file into automatic.
    await put_into(room, changed, Mode.AUTOMATIC)
    assert await mode_of(room, changed) == (Mode.AUTOMATIC, Cause.APPROVED)


async def test_a_detection_whose_own_acts_were_wrong_goes_back_to_shadow(
    room: Room, tmp_path: Path
) -> None:
    room = careful(room)
    detection = a_detection(tmp_path)
    await judged(room, detection, fraud=10, good=0)
    await put_into(room, detection, Mode.AUTOMATIC)
    orders = [f"O-{n}" for n in range(5)]
    await run_of(room, detection, findings(room, detection, *orders))
    async with room.engine.begin() as conn:
        await conn.execute(
            text(
                """UPDATE ledger.findings SET verdict = CASE WHEN subject_id < 'O-2' THEN 'good' ELSE 'fraud' END
                    WHERE subject_id = ANY(:orders) AND subject_id <> 'O-4'"""
            ),
            {"orders": orders},
        )
    await sort_findings(room, detection, [], first=False, now=room.clock.now())
    assert await mode_of(room, detection) == (Mode.AUTOMATIC, Cause.APPROVED)
    async with room.engine.begin() as conn:
        await conn.execute(
            text("UPDATE ledger.findings SET verdict = 'fraud' WHERE subject_id = 'O-4'")
        )
    await sort_findings(room, detection, [], first=False, now=room.clock.now())
    assert await mode_of(room, detection) == (Mode.SHADOW, Cause.OVERTURNED)
    assert (await notices(room))[-1][0] == "overturned"


async def test_the_list_tells_mode_results_runs_and_troubles(room: Room, tmp_path: Path) -> None:
    detection, other = a_detection(tmp_path), a_detection(tmp_path, name="another")
    await judged(room, detection, fraud=3, good=1)
    await put_into(room, other, Mode.SHADOW)
    found = await standings(room, AGENT, [detection, other])
    assert not isinstance(found, Refusal)
    first, second = found
    assert (first.name, first.mode, first.week.findings) == ("another", Mode.SHADOW, 0)
    assert (second.week.findings, second.precise.decided, second.precise.precision) == (4, 4, 0.75)
    stranger = await standings(room, NOBODY, [detection])
    assert isinstance(stranger, Refusal)


@pytest.mark.parametrize("reason", ["", "   "])
async def test_a_proposal_needs_a_reason(room: Room, tmp_path: Path, reason: str) -> None:
    asked = await propose_mode(room, ENGINEER, a_detection(tmp_path), Mode.SHADOW, reason)
    assert isinstance(asked, Refusal)
    assert asked.code is RefusalCode.NO_REASON
