"""The auditor: reads what a chaos run left behind and says, one line a promise, whether it was kept.

It shares no code with the bot and trusts none of its words where another source speaks: the marketplace's own
ledger of effects, the messages as Slack has them, the clicks as they were sent. The bot's ledger is read by
plain SQL, its audit chain recomputed here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

Row = Mapping[str, Any]

WINDOWS = {"hour": timedelta(hours=1), "day": timedelta(hours=24)}
MARKET_ACTIONS = frozenset(
    {
        "hold",
        "release",
        "cancel",
        "suspend",
        "reinstate",
        "refund",
        "takedown",
        "restore",
        "remove_posts",
        "restore_posts",
    }
)
AT_ONCE = frozenset({"hold", "release"})
ENDED = frozenset({"succeeded", "failed", "needs_human", "stopped"})
TOLERANCE = timedelta(seconds=2)
"""A decision is stamped a moment before the part of the cap that it took."""
_LIVE_MENTION = re.compile(r"<!(channel|here|everyone)|<(https?://[^|>]*)\|[^>]*承認")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise: how often it was broken, of how many chances, and the first examples."""

    name: str
    count: int
    of: int
    examples: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.count == 0

    def line(self) -> str:
        mark = "ok " if self.ok else "BAD"
        told = f"{mark} {self.name}: {self.count} of {self.of}"
        return told if self.ok else f"{told}  e.g. {'; '.join(self.examples)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that a run left behind."""

    run: Row
    clicks: Sequence[Row]
    messages: Sequence[Row]
    effects: Sequence[Row]
    cases: Mapping[int, Row]
    members: Sequence[Row]
    decisions: Mapping[str, Row]
    approvals: Sequence[Row]
    operations: Mapping[str, Row]
    cards: Mapping[int, Row]
    entries: Sequence[Row]
    head: tuple[int, str]
    approvals_of: Mapping[str, list[Row]] = field(default_factory=dict)


def audit(folder: Path) -> list[Promise]:
    """Every promise, judged over the evidence in this folder and the ledger that it names."""
    return judge(asyncio.run(gather(folder)))


async def gather(folder: Path) -> Evidence:
    """Read the evidence once, so that all promises are judged over the same."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    conn = await asyncpg.connect(run["ledger_dsn"])
    try:
        await conn.set_type_codec(
            "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
        )
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            cases = {row["case_id"]: row for row in await conn.fetch("SELECT * FROM ledger.cases")}
            members = await conn.fetch("SELECT * FROM ledger.case_members")
            decisions = {
                row["decision_id"]: row
                for row in await conn.fetch("SELECT * FROM ledger.decisions")
            }
            approvals = await conn.fetch("SELECT * FROM ledger.approvals")
            operations = {
                row["operation_id"]: row
                for row in await conn.fetch("SELECT * FROM ledger.operations")
            }
            cards = {row["case_id"]: row for row in await conn.fetch("SELECT * FROM ledger.cards")}
            entries = await conn.fetch("SELECT * FROM ledger.audit_entries ORDER BY seq")
            head = await conn.fetchrow("SELECT seq, hash FROM ledger.audit_head")
    finally:
        await conn.close()
    given: dict[str, list[Row]] = defaultdict(list)
    for row in approvals:
        given[row["decision_id"]].append(row)
    slack = json.loads((folder / "slack.json").read_text(encoding="utf-8"))
    return Evidence(
        run=run,
        clicks=_lines(folder / "clicks.jsonl"),
        messages=slack["messages"],
        effects=_lines(folder / "effects.jsonl"),
        cases=cases,
        members=members,
        decisions=decisions,
        approvals=approvals,
        operations=operations,
        cards=cards,
        entries=entries,
        head=(head["seq"], head["hash"]),
        approvals_of=given,
    )


def judge(seen: Evidence) -> list[Promise]:
    """Every promise over evidence in memory."""
    return [
        _promise("effects doubled", len(seen.effects), _doubled(seen)),
        _promise("effects without an approved operation", len(seen.effects), _unasked(seen)),
        _promise("approved operations lost", len(seen.operations), _lost_operations(seen)),
        _promise("acknowledged clicks lost", len(seen.clicks), _lost_clicks(seen)),
        _promise("decisions on a version that nobody pressed", len(seen.decisions), _unseen(seen)),
        _promise("two decisions on one version", len(seen.decisions), _two_on_one(seen)),
        _promise("approvals by the wrong person", len(seen.decisions), _wrong_people(seen)),
        _promise("approvals of something else", len(seen.approvals), _amended(seen)),
        _promise("caps overshot", len(seen.run["policy"].get("caps") or []), _overshot(seen)),
        _promise("money sent to a suspect", len(seen.effects), _to_suspects(seen)),
        _promise("acts without an audit entry", _acts(seen), _unaudited(seen)),
        _promise("audit entries without an act", len(seen.entries), _made_up(seen)),
        _promise("audit chain broken", len(seen.entries), _broken_chain(seen)),
        _promise("cards that disagree with the ledger", len(seen.cards), _wrong_cards(seen)),
        _promise("live markup from users' text", len(seen.messages), _live_markup(seen)),
        _promise("cases not settled", len(seen.cases), _unsettled(seen)),
    ]


def _promise(name: str, of: int, broken: Iterable[str]) -> Promise:
    found = list(broken)
    return Promise(name=name, count=len(found), of=of, examples=tuple(found[:3]))


def _lines(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


# ---- What reached the marketplace


def _doubled(seen: Evidence) -> Iterable[str]:
    by_key = Counter(effect["key"] for effect in seen.effects)
    yield from (f"{key} executed {times} times" for key, times in by_key.items() if times > 1)


def _unasked(seen: Evidence) -> Iterable[str]:
    """Under each key of an effect there is one operation of ours, of a decision that was approved, for this very thing."""
    for effect in seen.effects:
        operation = seen.operations.get(effect["key"])
        if operation is None:
            yield f"{effect['key']} ({effect['verb']} {effect['subject_id']}) is no operation of ours"
            continue
        if (effect["verb"], effect["subject_id"]) != (operation["verb"], operation["subject_id"]):
            yield f"{effect['key']} did {effect['verb']} {effect['subject_id']}"
        decision = seen.decisions[operation["decision_id"]]
        if decision["state"] != "approved":
            yield f"{effect['key']} ran under a decision that is {decision['state']}"
        targets = {(verb, subject["id"]) for verb, subject in _targets(decision)}
        if (operation["verb"], operation["subject_id"]) not in targets:
            yield f"{effect['key']} is not among what was decided"
        if operation["verb"] == "refund" and effect.get("amount") not in {
            None,
            operation["amount"],
        }:
            yield f"{effect['key']} gave back {effect['amount']}, not {operation['amount']}"
        if operation["sends"] == 0:
            yield f"{effect['key']} ran though the ledger never sent it"


def _targets(decision: Row) -> list[tuple[str, Row]]:
    found: list[tuple[str, Row]] = []
    for verb, subject in decision["targets"]:
        found.append((verb, subject if isinstance(subject, dict) else {"id": subject[-1]}))
    return found


def _lost_operations(seen: Evidence) -> Iterable[str]:
    done = {effect["key"] for effect in seen.effects}
    by_decision: Counter[str] = Counter(o["decision_id"] for o in seen.operations.values())
    for key, operation in seen.operations.items():
        state = operation["state"]
        if state not in ENDED:
            yield f"{key} is still {state}"
        elif state == "succeeded" and key not in done and _has_effect(operation):
            yield f"{key} succeeded, and the marketplace did nothing"
        elif state in {"failed", "stopped"} and key in done:
            yield f"{key} is {state}, and the marketplace did it"
    for decision in seen.decisions.values():
        wanted = len(decision["targets"])
        if decision["state"] == "approved" and by_decision[decision["decision_id"]] != wanted:
            yield (
                f"{decision['decision_id']} was approved for {wanted} and has"
                f" {by_decision[decision['decision_id']]} operations"
            )


def _has_effect(operation: Row) -> bool:
    by_hand = operation["operation_class"] == "manual" or operation["resolved_by"] == "human"
    return not by_hand


def _to_suspects(seen: Evidence) -> Iterable[str]:
    paid_by = {
        member["subject_id"]: (member["facts"] or {}).get("payment_method")
        for member in seen.members
        if member["subject_kind"] == "order"
    }
    # An order that was paid back while nobody called it fraud may be cancelled later.
    cancelled: set[str] = set()
    for effect in sorted(seen.effects, key=lambda effect: effect.get("executed_at") or ""):
        order, body = effect["subject_id"], effect.get("body") or {}
        if effect["verb"] == "cancel":
            cancelled.add(order)
            if body.get("refund_policy") != "withhold":
                yield f"{effect['key']} cancelled {order} without withholding"
        back_to_card = paid_by.get(order) == "card" and body.get("route") == "original"
        if effect["verb"] == "refund" and order in cancelled and not back_to_card:
            yield f"{effect['key']} gave money of {order} to a suspect"


# ---- What people pressed


def _accepted(click: Row) -> bool:
    """Slack saw 200, and nothing in the answer turned it down."""
    if click["status"] != 200:
        return False
    answer = click.get("answer")
    return not (isinstance(answer, dict) and answer.get("response_action"))


def _lost_clicks(seen: Evidence) -> Iterable[str]:
    told: Counter[str] = Counter(
        message["ephemeral_to"] for message in seen.messages if message.get("ephemeral_to")
    )
    by_version = {(d["case_id"], d["case_version"]): d for d in seen.decisions.values()}
    approved = {(row["decision_id"], row["user_id"]) for row in seen.approvals}
    for click in seen.clicks:
        if not _accepted(click) or click.get("case") is None:
            continue
        user, name, case = click["user"], click["name"], int(click["case"])
        decision = by_version.get((case, int(click.get("version") or 0)))
        mine = decision is not None and decision["requested_by"] == user
        where = f"{user} {click['kind']} {name} on C-{case} v{click.get('version')}"
        if click["kind"] == "submission":
            if name in MARKET_ACTIONS | {"dismiss"}:
                if not (mine and decision is not None and decision["action"] == name):
                    yield f"{where}: accepted, and nothing was decided"
            elif name == "approve":
                if (click.get("decision"), user) not in approved:
                    yield f"{where}: accepted, and no approval is there"
            elif name == "reject":
                rejected = seen.decisions.get(str(click.get("decision")))
                if rejected is None or rejected["rejected_by"] != user:
                    yield f"{where}: accepted, and nothing was rejected"
        elif click["kind"] == "button" and name in AT_ONCE:
            if mine or decision is not None or told[user] > 0:
                continue
            known = seen.cases.get(case)
            if known is not None and known["version"] <= int(click.get("version") or 0):
                yield f"{where}: acknowledged, nothing decided, nothing said"


def _unseen(seen: Evidence) -> Iterable[str]:
    """Each decision of a person answers a press of that person on that very version."""
    pressed = {
        (click["user"], int(click["case"]), int(click["version"]))
        for click in seen.clicks
        if click.get("case") is not None and click.get("version") is not None
    }
    for decision in seen.decisions.values():
        who = decision["requested_by"]
        if who not in seen.run["people"]:
            continue
        if (who, decision["case_id"], decision["case_version"]) not in pressed:
            yield f"{decision['decision_id']} by {who} on C-{decision['case_id']} v{decision['case_version']}"


def _two_on_one(seen: Evidence) -> Iterable[str]:
    times = Counter((d["case_id"], d["case_version"]) for d in seen.decisions.values())
    yield from (f"C-{case} v{version}: {n}" for (case, version), n in times.items() if n > 1)
    # Two that are both under way or done for one subject and verb, though the first was never undone.
    live: dict[tuple[str, str], list[str]] = defaultdict(list)
    for operation in seen.operations.values():
        if operation["verb"] == "cancel" and operation["state"] == "succeeded":
            live[operation["verb"], operation["subject_id"]].append(operation["operation_id"])
    for (verb, subject), keys in live.items():
        if len(keys) > 1:
            yield f"{verb} {subject} was carried out under {len(keys)} decisions"


# ---- Who decided


def _roles(seen: Evidence, user: str) -> set[str]:
    person = seen.run["people"].get(user)
    return set() if person is None or person.get("guest") else set(person["roles"])


def _wrong_people(seen: Evidence) -> Iterable[str]:
    rules = seen.run["policy"]["actions"]
    for decision in seen.decisions.values():
        name, who = decision["decision_id"], decision["requested_by"]
        rule = rules.get(decision["action"])
        if who == "system" or str(who).startswith("detection:"):
            continue
        if rule is None or not _roles(seen, who) & set(rule["request"]):
            yield f"{name}: {decision['action']} by {who}, who may not"
            continue
        given = seen.approvals_of.get(name, [])
        opened_by = seen.cases[decision["case_id"]]["opened_by"]
        approvers = set(rule.get("approve") or ())
        wanted = approvers | {role for slot in decision["slots"] for role in slot}
        for approval in given:
            by = approval["user_id"]
            if by in {who, opened_by}:
                yield f"{name}: {by} approved what they asked for or opened"
            if not _roles(seen, by) & wanted:
                yield f"{name}: {by} approved without the role"
        if decision["state"] != "approved" or decision["broken_glass_by"]:
            continue
        if len({approval["user_id"] for approval in given}) < _people_needed(seen, decision, rule):
            yield f"{name}: {decision['action']} by {who} with {len(given)} approvals"


def _people_needed(seen: Evidence, decision: Row, rule: Row) -> int:
    """How many others the policy asks for, worked out anew from the decision's own money."""
    approvers = set(rule.get("approve") or ())
    if not approvers or decision["action"] == "dismiss":
        return 0
    limits = rule.get("second_person_above")
    above = limits is not None and any(
        currency not in limits or amount > limits[currency]
        for amount, currency in decision["amounts"]
    )
    alone = bool(_roles(seen, decision["requested_by"]) & approvers) and not above
    opened_by = seen.cases[decision["case_id"]]["opened_by"]
    return 0 if alone and opened_by != decision["requested_by"] else 1


def _amended(seen: Evidence) -> Iterable[str]:
    for approval in seen.approvals:
        decision = seen.decisions[approval["decision_id"]]
        if approval["params_hash"] != decision["params_hash"]:
            yield f"{approval['decision_id']} by {approval['user_id']}"
    for decision in seen.decisions.values():
        approved = {
            (o["verb"], o["subject_id"])
            for o in seen.operations.values()
            if o["decision_id"] == decision["decision_id"]
        }
        targets = {(verb, subject["id"]) for verb, subject in _targets(decision)}
        if approved - targets:
            yield f"{decision['decision_id']} grew after it was decided"


def _overshot(seen: Evidence) -> Iterable[str]:
    buyers = {
        member["subject_id"]: (member["facts"] or {}).get("buyer_id")
        for member in seen.members
        if member["subject_kind"] == "order"
    }
    for cap in seen.run["policy"].get("caps") or []:
        taken: dict[str, list[tuple[datetime, int, str]]] = defaultdict(list)
        for operation in seen.operations.values():
            decision = seen.decisions[operation["decision_id"]]
            if (
                decision["action"] not in cap["actions"]
                or decision["state"] != "approved"
                or decision["broken_glass_by"]
            ):
                continue
            part = (
                decision["requested_at"],
                operation["amount"] or 0 if operation["verb"] in {"refund", "cancel"} else 0,
                operation["currency"] or "",
            )
            for scope in _scopes(seen, cap["per"], decision, operation, buyers):
                taken[scope].append(part)
        for scope, parts in taken.items():
            yield from _over_in_window(cap, scope, sorted(parts))


def _scopes(
    seen: Evidence, per: str, decision: Row, operation: Row, buyers: Mapping[str, str | None]
) -> list[str]:
    match per:
        case "action":
            return ["everybody"]
        case "subject":
            return [operation["subject_id"]]
        case "account":
            account = buyers.get(operation["subject_id"])
            return [account] if account else []
        case _:
            given = seen.approvals_of.get(decision["decision_id"], [])
            return [row["user_id"] for row in given] or [decision["requested_by"]]


def _over_in_window(
    cap: Row, scope: str, parts: Sequence[tuple[datetime, int, str]]
) -> Iterable[str]:
    span = WINDOWS[cap["window"]] - TOLERANCE
    for end, _, _ in parts:
        within = [part for part in parts if end - span < part[0] <= end]
        if cap.get("count") is not None and len(within) > cap["count"]:
            yield f"{cap['per']} {scope}: {len(within)} of {cap['count']} in one {cap['window']}"
            return
        for currency, limit in (cap.get("amount") or {}).items():
            total = sum(amount for _, amount, of in within if of == currency)
            if total > limit:
                yield f"{cap['per']} {scope}: {total} of {limit} {currency}"
                return


# ---- The log


def _acts(seen: Evidence) -> int:
    return len(seen.decisions) + len(seen.approvals) + len(seen.operations)


def _unaudited(seen: Evidence) -> Iterable[str]:
    by_decision: dict[str, set[tuple[str, str]]] = defaultdict(set)
    by_operation: dict[str, set[str]] = defaultdict(set)
    for entry in seen.entries:
        if entry["decision_id"]:
            by_decision[entry["decision_id"]].add((entry["tag"], entry["actor"]))
        if entry["operation_id"]:
            by_operation[entry["operation_id"]].add((entry["details"] or {}).get("state", ""))
    for decision in seen.decisions.values():
        name = decision["decision_id"]
        asked = {
            ("person:decision:requested", decision["requested_by"]),
            ("person:case:dismissed", decision["requested_by"]),
        }
        by_system = decision["requested_by"] not in seen.run["people"]
        if not by_system and not asked & by_decision[name]:
            yield f"{name} was requested and nobody wrote it down"
        if decision["state"] == "rejected" and not any(
            tag == "person:decision:rejected" for tag, _ in by_decision[name]
        ):
            yield f"{name} was rejected and nobody wrote it down"
    for approval in seen.approvals:
        if ("person:decision:approved", approval["user_id"]) not in by_decision[
            approval["decision_id"]
        ]:
            yield f"{approval['decision_id']} was approved by {approval['user_id']}, unwritten"
    for key, operation in seen.operations.items():
        state = operation["state"]
        if state in ENDED - {"stopped"} and state not in by_operation[key]:
            yield f"{key} ended {state}, unwritten"


def _made_up(seen: Evidence) -> Iterable[str]:
    for entry in seen.entries:
        decision_id, operation_id = entry["decision_id"], entry["operation_id"]
        decision = seen.decisions.get(decision_id)
        if decision_id and decision is None:
            yield f"entry {entry['seq']} tells of {decision_id}, which is nowhere"
        if operation_id and operation_id not in seen.operations:
            yield f"entry {entry['seq']} tells of {operation_id}, which is nowhere"
        if entry["tag"] == "person:decision:approved" and decision is not None:
            details = entry["details"] or {}
            given = {row["user_id"] for row in seen.approvals_of.get(decision_id, [])}
            if not details.get("alone") and entry["actor"] not in given | {
                decision["broken_glass_by"]
            }:
                yield f"entry {entry['seq']}: {entry['actor']} approved {decision_id}, who did not"


def _broken_chain(seen: Evidence) -> Iterable[str]:
    head, number = "0" * 64, 0
    for entry in seen.entries:
        number += 1
        text = f"mimawari.audit.v1\n{entry['previous_hash']}\n{entry['canonical']}"
        if entry["seq"] != number:
            yield f"entry {number} is missing"
            return
        if (
            entry["previous_hash"] != head
            or hashlib.sha256(text.encode()).hexdigest() != entry["hash"]
        ):
            yield f"entry {number} does not fit"
            return
        told = json.loads(entry["canonical"])
        if (told["actor"], told["tag"], told["details"]) != (
            entry["actor"],
            entry["tag"],
            entry["details"],
        ):
            yield f"entry {number} says another thing than what was hashed"
            return
        head = entry["hash"]
    if (number, head) != seen.head:
        yield f"the head says {seen.head[0]}, the log ends at {number}"


# ---- What people see


def _wrong_cards(seen: Evidence) -> Iterable[str]:
    shown: dict[int, list[Row]] = defaultdict(list)
    for message in seen.messages:
        metadata = message.get("metadata") or {}
        if metadata.get("event_type") == "mimawari_case" and not message.get("ephemeral_to"):
            shown[int(metadata["event_payload"]["case_id"])].append(message)
    for case_id, card in seen.cards.items():
        messages = shown.get(case_id, [])
        if len(messages) > 1:
            yield f"C-{case_id} has {len(messages)} cards"
        if not messages:
            if card["in_channel"]:
                yield f"C-{case_id} has no card"
            continue
        ids = {str(block.get("block_id", "")) for block in messages[0].get("blocks") or []}
        version = seen.cases[case_id]["version"]
        if f"case:{case_id}:{version}" not in ids:
            stands = next((one for one in ids if one.startswith(f"case:{case_id}:")), "nothing")
            yield f"C-{case_id} is at version {version}, its card at {stands}"
    for case_id in shown:
        if case_id not in seen.cards:
            yield f"a card of C-{case_id}, which is nowhere"


def _live_markup(seen: Evidence) -> Iterable[str]:
    for message in seen.messages:
        if not message.get("is_bot", True):
            continue
        for text in _mrkdwn(message):
            found = _LIVE_MENTION.search(text)
            if found:
                yield f"{message['ts']}: {found[0]}"


def _mrkdwn(message: Row) -> Iterable[str]:
    yield str(message.get("text") or "")
    waiting: list[Any] = list(message.get("blocks") or [])
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if one.get("type") == "mrkdwn":
                yield str(one.get("text") or "")
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _unsettled(seen: Evidence) -> Iterable[str]:
    open_ = Counter(
        operation["case_id"]
        for operation in seen.operations.values()
        if operation["state"] not in ENDED
    )
    for case_id, case in seen.cases.items():
        if (case["state"] == "executing") != (open_[case_id] > 0):
            yield f"C-{case_id} is {case['state']} with {open_[case_id]} operations open"
