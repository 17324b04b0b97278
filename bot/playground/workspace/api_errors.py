"""A refusal of the Web API, with Slack's own code."""

from __future__ import annotations

from collections.abc import Sequence


class ApiError(Exception):
    """Raised by a method; becomes `{"ok": false, "error": code}`."""

    def __init__(
        self,
        code: str,
        *,
        messages: Sequence[str] = (),
        retry_after: int | None = None,
        needed: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.messages = list(messages)
        """What Slack puts into `response_metadata.messages`."""
        self.retry_after = retry_after
        """Set for `ratelimited`: seconds, answered with HTTP 429."""
        self.needed = needed
        """Set for `missing_scope`."""
