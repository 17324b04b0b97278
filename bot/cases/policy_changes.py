"""What is different between two policies, and whether it lets more through or less; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import Any

from bot.cases.policy import Policy


class Turn(StrEnum):
    LOOSER = "▲"
    TIGHTER = "▼"
    OTHER = "・"


_LOOSER_IF_MORE = frozenset({"request_lifetime_hours"})
_LOOSER_IF_LESS = frozenset({"take_back_seconds", "new_approver_hours"})


def policy_changes(old: Policy, new: Policy) -> tuple[str, ...]:
    """One line an entry that changed, what lets more through first."""
    before, after = old.file.model_dump(mode="json"), new.file.model_dump(mode="json")
    found = [
        *_roles(before.pop("roles"), after.pop("roles")),
        *_actions(before.pop("actions"), after.pop("actions")),
        *_caps(before.pop("caps"), after.pop("caps")),
        *_off_hours(before.pop("off_hours"), after.pop("off_hours")),
        *_automatic(before.pop("automatic"), after.pop("automatic")),
        *_rest(before, after),
    ]
    order = list(Turn)
    return tuple(line for _, line in sorted(found, key=lambda one: order.index(one[0])))


Change = tuple[Turn, str]


def _change(turn: Turn, where: str, old: object, new: object) -> Change:
    return turn, f"{turn.value} {where}: {_told(old)} → {_told(new)}"


def _told(value: object) -> str:
    if value is None or value in ([], {}, ""):
        return "—"
    if isinstance(value, list):
        return ", ".join(_told(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(where: str, old: Collection[str], new: Collection[str]) -> Iterator[Change]:
    """A list of who may: more is looser."""
    if set(old) == set(new):
        return
    turn = Turn.LOOSER if set(new) - set(old) else Turn.TIGHTER
    yield _change(turn, where, list(old), list(new))


def _roles(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for role in dict.fromkeys([*old, *new]):
        for part in ("groups", "users"):
            yield from _listed(
                f"roles.{role}.{part}",
                old.get(role, {}).get(part, []),
                new.get(role, {}).get(part, []),
            )


def _actions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for action in dict.fromkeys([*old, *new]):
        if action not in new:
            yield _change(Turn.TIGHTER, f"actions.{action}", "allowed", None)
        elif action not in old:
            yield _change(Turn.LOOSER, f"actions.{action}", None, new[action]["request"])
        else:
            yield from _rule(f"actions.{action}", old[action], new[action])


def _rule(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    yield from _listed(f"{where}.request", old["request"], new["request"])
    if bool(old["approve"]) != bool(new["approve"]):
        # Without approvers nobody else need agree.
        turn = Turn.TIGHTER if new["approve"] else Turn.LOOSER
        yield _change(turn, f"{where}.approve", old["approve"], new["approve"])
    else:
        yield from _listed(f"{where}.approve", old["approve"], new["approve"])
    yield from _limit(
        f"{where}.second_person_above",
        old["second_person_above"],
        new["second_person_above"],
        unset=Turn.TIGHTER if new["approve"] else Turn.OTHER,
    )
    for limits in ("request_up_to", "approve_up_to"):
        for role in dict.fromkeys([*old[limits], *new[limits]]):
            yield from _limit(
                f"{where}.{limits}.{role}",
                old[limits].get(role),
                new[limits].get(role),
                unset=Turn.LOOSER,
            )
    others = (set(old) | set(new)) - {
        "request",
        "approve",
        "second_person_above",
        "request_up_to",
        "approve_up_to",
    }
    for name in sorted(others):
        if old.get(name) != new.get(name):
            turn = Turn.TIGHTER if not old.get(name) else Turn.OTHER
            turn = Turn.LOOSER if not new.get(name) else turn
            yield _change(turn, f"{where}.{name}", old.get(name), new.get(name))


def _limit(
    where: str,
    old: Mapping[str, int] | None,
    new: Mapping[str, int] | None,
    *,
    unset: Turn,
) -> Iterator[Change]:
    """Money a currency: more is looser, and a currency that is not listed has no room at all.

    Args:
        unset: what it means when the whole limit goes; when one comes it is the opposite.
    """
    if old == new:
        return
    if old is None or new is None:
        opposite = {Turn.LOOSER: Turn.TIGHTER, Turn.TIGHTER: Turn.LOOSER}.get(unset, unset)
        yield _change(unset if new is None else opposite, where, old, new)
        return
    for currency in dict.fromkeys([*old, *new]):
        before, after = old.get(currency), new.get(currency)
        if before != after:
            turn = Turn.LOOSER if (after or 0) > (before or 0) else Turn.TIGHTER
            if after is None:
                turn = Turn.TIGHTER
            elif before is None:
                turn = Turn.LOOSER
            yield _change(turn, f"{where}.{currency}", before, after)


def _caps(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[Change]:
    """A cap is known by what it counts; one that goes is looser."""

    def by_name(caps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {
            f"caps({cap['per']} {cap['window']} {', '.join(cap['actions'])})": cap for cap in caps
        }

    before, after = by_name(old), by_name(new)
    for where in dict.fromkeys([*before, *after]):
        was, now = before.get(where), after.get(where)
        if was is None or now is None:
            shown = was or now or {}
            told = shown.get("amount") or shown.get("count")
            yield (
                _change(Turn.TIGHTER, where, None, told)
                if was is None
                else _change(Turn.LOOSER, where, told, None)
            )
            continue
        yield from _limit(
            f"{where}.amount", was.get("amount"), now.get("amount"), unset=Turn.LOOSER
        )
        if was.get("count") != now.get("count"):
            less = now.get("count") is not None and (
                was.get("count") is None or now["count"] < was["count"]
            )
            turn = Turn.TIGHTER if less else Turn.LOOSER
            yield _change(turn, f"{where}.count", was.get("count"), now.get("count"))


def _off_hours(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Change]:
    """What detections may hold while nobody is there: more of it is looser."""
    if old is None or new is None:
        if old != new:
            turn = Turn.LOOSER if old is None else Turn.TIGHTER
            yield _change(turn, "off_hours", old, new)
        return
    yield from _listed("off_hours.detections", old["detections"], new["detections"])
    yield from _limit("off_hours.caps", old["caps"], new["caps"], unset=Turn.OTHER)
    if old["count"] != new["count"]:
        turn = Turn.LOOSER if new["count"] > old["count"] else Turn.TIGHTER
        yield _change(turn, "off_hours.count", old["count"], new["count"])


_AUTOMATIC_LOOSER_IF_MORE = ("count", "every_detection", "days")
_AUTOMATIC_LOOSER_IF_LESS = ("precision", "decided", "objection_minutes")


def _automatic(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[Change]:
    """What detections may do by themselves: more of it, or sooner, or on less proof, is looser."""
    if old is None or new is None:
        if old != new:
            yield _change(Turn.LOOSER if old is None else Turn.TIGHTER, "automatic", old, new)
        return
    yield from _listed("automatic.actions", old["actions"], new["actions"])
    for limits in ("caps", "up_to"):
        yield from _limit(f"automatic.{limits}", old[limits], new[limits], unset=Turn.OTHER)
    for name in (*_AUTOMATIC_LOOSER_IF_MORE, *_AUTOMATIC_LOOSER_IF_LESS):
        if old[name] != new[name]:
            more = (new[name] > old[name]) == (name in _AUTOMATIC_LOOSER_IF_MORE)
            turn = Turn.LOOSER if more else Turn.TIGHTER
            yield _change(turn, f"automatic.{name}", old[name], new[name])


def _rest(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        turn = Turn.OTHER
        if isinstance(before, int | float) and isinstance(after, int | float):
            if name in _LOOSER_IF_MORE:
                turn = Turn.LOOSER if after > before else Turn.TIGHTER
            elif name in _LOOSER_IF_LESS:
                turn = Turn.LOOSER if after < before else Turn.TIGHTER
        yield _change(turn, name, before, after)
