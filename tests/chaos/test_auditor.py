"""The auditor finds each broken promise in evidence that is whole but for one thing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.chaos.auditor import Evidence, judge

T0 = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
POLICY = {
    "actions": {
        "hold": {"request": ["agent", "approver"]},
        "cancel": {
            "request": ["agent", "approver"],
            "approve": ["approver"],
            "second_person_above": {"JPY": 50000},
        },
        "refund": {
            "request": ["agent", "approver"],
            "approve": ["approver"],
            "second_person_above": {"JPY": 10000},
        },
        "dismiss": {"request": ["agent"]},
    },
    "caps": [
        {"per": "action", "window": "hour", "actions": ["cancel"], "amount": {"JPY": 5000}},
        {"per": "person", "window": "hour", "actions": ["cancel"], "count": 5},
    ],
}


def a_decision(name: str, case: int, version: int, **changes: Any) -> dict[str, Any]:
    return {
        "decision_id": name,
        "case_id": case,
        "case_version": version,
        "action": "cancel",
        "state": "approved",
        "requested_by": "U1",
        "requested_at": T0,
        "targets": [["cancel", {"kind": "order", "id": f"O-{case}"}]],
        "amounts": [[1000, "JPY"]],
        "slots": [],
        "params_hash": f"hash-{name}",
        "rejected_by": None,
        "broken_glass_by": None,
        **changes,
    }


def an_operation(name: str, decision: str, case: int, **changes: Any) -> dict[str, Any]:
    return {
        "operation_id": name,
        "decision_id": decision,
        "case_id": case,
        "verb": "cancel",
        "subject_id": f"O-{case}",
        "state": "succeeded",
        "operation_class": "key",
        "resolved_by": "answer",
        "amount": 1000,
        "currency": "JPY",
        "sends": 1,
        **changes,
    }


def an_entry(seq: int, tag: str, actor: str, **changes: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "tag": tag,
        "actor": actor,
        "decision_id": None,
        "operation_id": None,
        "details": {},
        **changes,
    }


def chained(entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[int, str]]:
    head = "0" * 64
    for number, entry in enumerate(entries, start=1):
        entry["seq"], entry["previous_hash"] = number, head
        entry["canonical"] = json.dumps(
            {name: entry[name] for name in ("actor", "tag", "details")}, sort_keys=True
        )
        text = f"mimawari.audit.v1\n{head}\n{entry['canonical']}"
        head = entry["hash"] = hashlib.sha256(text.encode()).hexdigest()
    return entries, (len(entries), head)


def a_card(case: int, version: int) -> dict[str, Any]:
    return {
        "channel": "C1",
        "ts": f"1.{case}",
        "text": "x",
        "blocks": [{"type": "actions", "block_id": f"case:{case}:{version}"}],
        "metadata": {"event_type": "mimawari_case", "event_payload": {"case_id": case}},
    }


def whole() -> Evidence:
    """Two cases: one cancelled with an approval, one held by one person."""
    decisions = {
        "d1": a_decision("d1", 1, 1),
        "d2": a_decision(
            "d2",
            2,
            4,
            action="hold",
            amounts=[],
            targets=[["hold", {"kind": "order", "id": "O-2"}]],
        ),
    }
    approvals: list[Any] = [{"decision_id": "d1", "user_id": "U2", "params_hash": "hash-d1"}]
    operations = {
        "op-1": an_operation("op-1", "d1", 1),
        "op-2": an_operation("op-2", "d2", 2, verb="hold"),
    }
    entries, head = chained(
        [
            an_entry(1, "person:decision:requested", "U1", decision_id="d1"),
            an_entry(2, "person:decision:approved", "U2", decision_id="d1"),
            an_entry(3, "person:decision:requested", "U1", decision_id="d2"),
            an_entry(
                4, "person:decision:approved", "U1", decision_id="d2", details={"alone": True}
            ),
            an_entry(
                5,
                "executor:operation:ended",
                "system",
                operation_id="op-1",
                decision_id="d1",
                details={"state": "succeeded"},
            ),
            an_entry(
                6,
                "executor:operation:ended",
                "system",
                operation_id="op-2",
                decision_id="d2",
                details={"state": "succeeded"},
            ),
        ]
    )
    return Evidence(
        run={
            "people": {
                "U1": {"roles": ["agent"]},
                "U2": {"roles": ["approver"]},
                "U3": {"roles": []},
                "U4": {"roles": ["approver"], "guest": True},
            },
            "policy": deepcopy(POLICY),
        },
        clicks=[
            {
                "user": "U1",
                "kind": "submission",
                "name": "cancel",
                "case": 1,
                "version": 1,
                "status": 200,
                "answer": None,
            },
            {
                "user": "U2",
                "kind": "submission",
                "name": "approve",
                "case": 1,
                "version": 2,
                "decision": "d1",
                "status": 200,
                "answer": None,
            },
            {
                "user": "U1",
                "kind": "button",
                "name": "hold",
                "case": 2,
                "version": 4,
                "status": 200,
                "answer": None,
            },
        ],
        messages=[a_card(1, 4), a_card(2, 6)],
        effects=[
            {
                "key": "op-1",
                "verb": "cancel",
                "subject_id": "O-1",
                "body": {"refund_policy": "withhold"},
            },
            {"key": "op-2", "verb": "hold", "subject_id": "O-2"},
        ],
        cases={
            1: {"state": "done", "version": 4, "opened_by": None},
            2: {"state": "open", "version": 6, "opened_by": None},
        },
        members=[
            {
                "case_id": case,
                "subject_kind": "order",
                "subject_id": f"O-{case}",
                "verdict": None,
                "facts": {"buyer_id": f"B-{case}"},
            }
            for case in (1, 2)
        ],
        decisions=decisions,
        approvals=approvals,
        operations=operations,
        cards={1: {"in_channel": True}, 2: {"in_channel": True}},
        entries=entries,
        head=head,
        approvals_of={"d1": approvals},
    )


def test_whole_evidence_keeps_every_promise() -> None:
    broken = [promise.line() for promise in judge(whole()) if not promise.ok]
    assert broken == []


def _twice(seen: Evidence) -> None:
    seen.effects.append(seen.effects[0])  # type: ignore[attr-defined]


def _another_key(seen: Evidence) -> None:
    seen.effects[1]["key"] = "op-2-bis"  # type: ignore[index]


def _other_order(seen: Evidence) -> None:
    seen.effects[0]["subject_id"] = "O-9"  # type: ignore[index]


def _no_effect(seen: Evidence) -> None:
    seen.effects.pop()  # type: ignore[attr-defined]


def _not_ended(seen: Evidence) -> None:
    seen.operations["op-2"]["state"] = "unknown"  # type: ignore[index]


def _failed_yet_done(seen: Evidence) -> None:
    seen.operations["op-1"]["state"] = "failed"  # type: ignore[index]


def _fewer_operations(seen: Evidence) -> None:
    seen.decisions["d2"]["targets"].append(["hold", {"kind": "order", "id": "O-3"}])


def _more_operations(seen: Evidence) -> None:
    seen.operations["op-3"] = an_operation("op-3", "d2", 2, verb="hold", subject_id="O-9")  # type: ignore[index]


def _lost_approval(seen: Evidence) -> None:
    seen.approvals.clear()  # type: ignore[attr-defined]


def _lost_decision(seen: Evidence) -> None:
    seen.clicks[0]["version"] = 3  # type: ignore[index]


def _lost_press(seen: Evidence) -> None:
    seen.clicks[2]["version"] = 7  # type: ignore[index]


def _unseen_version(seen: Evidence) -> None:
    seen.decisions["d1"]["case_version"] = 9  # type: ignore[index]


def _two_decisions(seen: Evidence) -> None:
    seen.decisions["d3"] = {**seen.decisions["d1"], "decision_id": "d3"}  # type: ignore[index]


def _self_approval(seen: Evidence) -> None:
    seen.approvals_of["d1"][0]["user_id"] = "U1"  # type: ignore[index]


def _guest_approval(seen: Evidence) -> None:
    seen.approvals_of["d1"][0]["user_id"] = "U4"  # type: ignore[index]


def _outsider(seen: Evidence) -> None:
    seen.decisions["d2"]["requested_by"] = "U3"  # type: ignore[index]


def _unapproved(seen: Evidence) -> None:
    seen.approvals_of["d1"].clear()


def _above_the_limit(seen: Evidence) -> None:
    seen.approvals_of["d1"].clear()
    seen.decisions["d1"]["requested_by"] = "U2"  # type: ignore[index]
    seen.decisions["d1"]["amounts"] = [[50001, "JPY"]]  # type: ignore[index]


def _other_hash(seen: Evidence) -> None:
    seen.approvals[0]["params_hash"] = "another"  # type: ignore[index]


def _over_the_cap(seen: Evidence) -> None:
    seen.operations["op-1"]["amount"] = 5001  # type: ignore[index]


def _over_the_count(seen: Evidence) -> None:
    for number in range(5):
        name = f"d1{number}"
        seen.decisions[name] = a_decision(  # type: ignore[index]
            name, 1, 10 + number, requested_at=T0 + timedelta(minutes=number)
        )
        seen.operations[f"op-1{number}"] = an_operation(f"op-1{number}", name, 1, amount=1)  # type: ignore[index]
        seen.approvals_of[name] = [{**seen.approvals[0], "decision_id": name}]  # type: ignore[index]


def _paid_out(seen: Evidence) -> None:
    seen.effects[0]["body"] = {"refund_policy": "full"}  # type: ignore[index]


def _paid_back(seen: Evidence) -> None:
    seen.effects.append(a_refund("O-1"))  # type: ignore[attr-defined]


def a_refund(order: str) -> dict[str, Any]:
    return {"key": "op-3", "verb": "refund", "subject_id": order, "body": {"route": "original"}}


def _unwritten(seen: Evidence) -> None:
    entries, head = chained([e for e in seen.entries if e["seq"] != 5])  # type: ignore[misc]
    object.__setattr__(seen, "entries", entries)
    object.__setattr__(seen, "head", head)


def _made_up(seen: Evidence) -> None:
    made = an_entry(7, "person:decision:approved", "U2", decision_id="d9")
    entries, head = chained([*seen.entries, made])  # type: ignore[list-item]
    object.__setattr__(seen, "entries", entries)
    object.__setattr__(seen, "head", head)


def _edited(seen: Evidence) -> None:
    seen.entries[1]["actor"] = "U9"  # type: ignore[index]


def _cut(seen: Evidence) -> None:
    object.__setattr__(seen, "entries", seen.entries[:-1])


def _stale_card(seen: Evidence) -> None:
    seen.cases[1]["version"] = 5  # type: ignore[index]


def _two_cards(seen: Evidence) -> None:
    seen.messages.append({**a_card(1, 4), "ts": "2.1"})  # type: ignore[attr-defined]


def _no_card(seen: Evidence) -> None:
    seen.messages.pop()  # type: ignore[attr-defined]


def _mention(seen: Evidence) -> None:
    seen.messages[0]["text"] = "買い手 <!channel>"  # type: ignore[index]


def _stuck(seen: Evidence) -> None:
    seen.cases[2]["state"] = "executing"  # type: ignore[index]


@pytest.mark.parametrize(
    ("break_it", "promise"),
    [
        (_twice, "effects doubled"),
        (_another_key, "effects without an approved operation"),
        (_other_order, "effects without an approved operation"),
        (_no_effect, "approved operations lost"),
        (_not_ended, "approved operations lost"),
        (_failed_yet_done, "approved operations lost"),
        (_fewer_operations, "approved operations lost"),
        (_more_operations, "approvals of something else"),
        (_lost_approval, "acknowledged clicks lost"),
        (_lost_decision, "acknowledged clicks lost"),
        (_lost_press, "acknowledged clicks lost"),
        (_unseen_version, "decisions on a version that nobody pressed"),
        (_two_decisions, "two decisions on one version"),
        (_self_approval, "approvals by the wrong person"),
        (_guest_approval, "approvals by the wrong person"),
        (_outsider, "approvals by the wrong person"),
        (_unapproved, "approvals by the wrong person"),
        (_above_the_limit, "approvals by the wrong person"),
        (_other_hash, "approvals of something else"),
        (_over_the_cap, "caps overshot"),
        (_over_the_count, "caps overshot"),
        (_paid_out, "money sent to a suspect"),
        (_paid_back, "money sent to a suspect"),
        (_unwritten, "acts without an audit entry"),
        (_made_up, "audit entries without an act"),
        (_edited, "audit chain broken"),
        (_cut, "audit chain broken"),
        (_stale_card, "cards that disagree with the ledger"),
        (_two_cards, "cards that disagree with the ledger"),
        (_no_card, "cards that disagree with the ledger"),
        (_mention, "live markup from users' text"),
        (_stuck, "cases not settled"),
    ],
)
def test_a_broken_promise_is_counted(break_it: Callable[[Evidence], None], promise: str) -> None:
    seen = replace(whole())
    break_it(seen)
    broken = {found.name: found for found in judge(seen) if not found.ok}
    assert promise in broken
    assert broken[promise].examples
    assert broken[promise].line().startswith("BAD")


@pytest.mark.parametrize(
    ("method", "place"),
    [("konbini", 0), ("card", 2)],
    ids=["before anybody called it fraud", "back to the card"],
)
def test_money_that_no_suspect_got_breaks_no_promise(method: str, place: int) -> None:
    seen = whole()
    seen.members[0]["facts"]["payment_method"] = method
    seen.effects.insert(place, a_refund("O-1"))  # type: ignore[attr-defined]
    broken = {found.name for found in judge(seen) if not found.ok}
    assert "money sent to a suspect" not in broken
