"""What Redash says of its alerts: in a webhook of any known version, and when it is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TRIGGERED = "triggered"
EVENT = "alert_state_change"
_LONGEST = 40
_LARGEST_ID = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertState:
    """An alert as it stood at one change of its state."""

    alert_id: int
    query_id: int
    state: str
    """`unknown`, `ok` or `triggered`, and whatever a later version adds."""
    last_triggered_at: datetime | None
    """When its state changed last, or it was repeated, whatever its name says."""
    muted: bool = False

    @property
    def key(self) -> str:
        """The same for every telling of the same change; Redash gives its webhooks no id."""
        at = self.last_triggered_at.isoformat() if self.last_triggered_at else ""
        return hashlib.sha256(f"{self.alert_id}:{self.state}:{at}".encode()).hexdigest()


class StrangePayloadError(Exception):
    """A body that no known version of Redash sends."""


def read_webhook(body: bytes) -> AlertState:
    """The alert that a webhook tells of: v8 to v10 (no `metadata`), the build of 2019 (`description` at the
    top), and 25.1 or later.

    Raises:
        StrangePayloadError: it is none of these.
    """
    try:
        content = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise StrangePayloadError("no JSON") from error
    if not isinstance(content, dict) or content.get("event") != EVENT:
        raise StrangePayloadError("event")
    return read_alert(content.get("alert"))


def read_alert(alert: Any) -> AlertState:
    """One alert, as in a webhook (`query_id`) or in the list of alerts (`query`).

    Raises:
        StrangePayloadError: it lacks what every version has.
    """
    if not isinstance(alert, dict):
        raise StrangePayloadError("alert")
    query = alert.get("query")
    query_id = query.get("id") if isinstance(query, dict) else alert.get("query_id")
    state = alert.get("state")
    if not isinstance(state, str) or not 0 < len(state) <= _LONGEST or not state.isprintable():
        raise StrangePayloadError("state")
    options = alert.get("options")
    return AlertState(
        alert_id=_id(alert.get("id"), "id"),
        query_id=_id(query_id, "query_id"),
        state=state,
        last_triggered_at=_moment(alert.get("last_triggered_at")),
        muted=isinstance(options, Mapping) and options.get("muted") is True,
    )


def read_moment(text: str) -> datetime:
    """A time of Redash's own, which is UTC whether it says so or not. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    # An hour of the year 1 or 9999 has none in another zone.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _id(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _LARGEST_ID:
        raise StrangePayloadError(name)
    return value


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        return read_moment(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise StrangePayloadError("last_triggered_at") from error
