from __future__ import annotations

import pytest

from bot.cases.approving import reject
from bot.cases.consulting import consult
from bot.cases.deciding import Decided, decide, dismiss
from bot.cases.noting import note_reply
from bot.cases.room import Room
from bot.domain.refusals import Refusal
from bot.ledger import audit
from bot.ledger.audit import WrittenEntry
from tests.cases.stage import an_open_case, cancel_choice, hold_choice, press_of, reread

WORDS = "山田さんから 090-0000-0000 に折り返しの依頼"


async def entries_of(room: Room, case_id: int) -> dict[str, WrittenEntry]:
    async with room.engine.connect() as conn:
        found = await audit.read_about(conn, case_id=case_id, limit=50)
        assert (await audit.verify(conn)).problem is None
    return {entry.tag: entry for entry in reversed(found)}


async def test_each_act_of_a_person_tells_who_they_were_and_what_they_saw(room: Room) -> None:
    view = await an_open_case(room)
    denied = await decide(room, press_of(view, "U0YAMADA"), hold_choice("O-1"))
    assert isinstance(denied, Refusal)
    asked = await decide(room, press_of(view, "U0SATO"), cancel_choice("O-1"))
    assert isinstance(asked, Decided)
    assert asked.decision_id is not None
    waiting = await reread(room, view)
    turned_down = await reject(
        room, press_of(waiting, "U0TANAKA"), asked.decision_id, reason="Not enough", note=WORDS
    )
    assert isinstance(turned_down, Decided)
    again = await reread(room, view)
    assert isinstance(
        await dismiss(room, press_of(again, "U0SATO"), reason="Known customer", note=WORDS), Decided
    )
    entries = await entries_of(room, view.case_id)
    told = {
        tag: (entry.actor, entry.details["roles"], entry.details["case_version"])
        for tag, entry in entries.items()
        if "evidence_hash" in entry.details
    }
    assert told == {
        "policy:decision:denied": ("U0YAMADA", [], view.version),
        "person:decision:requested": ("U0SATO", ["agent"], view.version),
        "person:decision:rejected": ("U0TANAKA", ["approver"], waiting.version),
        "person:case:dismissed": ("U0SATO", ["agent"], again.version),
    }
    written = {tag: dict(entry.private) for tag, entry in entries.items() if entry.private}
    assert written == {
        "person:decision:rejected": {"note": WORDS},
        "person:case:dismissed": {"note": WORDS},
    }
    assert not [tag for tag, entry in entries.items() if WORDS in entry.canonical]


@pytest.mark.parametrize("how", ["asked", "noted"])
async def test_what_is_written_in_a_case_is_in_no_entry(room: Room, how: str) -> None:
    view = await an_open_case(room)
    if how == "asked":
        done = await consult(room, press_of(view, "U0SATO"), group=None, words=WORDS)
        assert isinstance(done, Decided)
    else:
        async with room.engine.begin() as conn:
            await conn.exec_driver_sql("UPDATE ledger.cards SET message_ts = '1.1'")
        assert await note_reply(
            room,
            user_id="U0SATO",
            channel=room.channel,
            thread_ts="1.1",
            message_ts="1.2",
            body=WORDS,
        )
    entries = await entries_of(room, view.case_id)
    (written,) = [entry for entry in entries.values() if entry.private]
    assert list(written.private.values()) == [WORDS]
    assert not [tag for tag, entry in entries.items() if WORDS in entry.canonical]
