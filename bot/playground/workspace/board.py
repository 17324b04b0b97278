"""Posts, edits and deletes messages, and tells pages and the app of it."""

from __future__ import annotations

from dataclasses import dataclass

from bot.playground.workspace.delivery import Delivery
from bot.playground.workspace.mentions import active_in, links_in
from bot.playground.workspace.shapes import message_json
from bot.playground.workspace.state import Channel, File, Json, Message, State
from bot.playground.workspace.stream import Stream
from bot.playground.workspace.view_state import with_ids

MAX_TEXT = 40_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a message is to say."""

    text: str = ""
    blocks: tuple[Json, ...] = ()
    metadata: Json | None = None
    parse_full: bool = False
    files: tuple[File, ...] = ()


class Board:
    """The one place where messages change."""

    def __init__(self, state: State, stream: Stream, delivery: Delivery) -> None:
        self._state = state
        self._stream = stream
        self._delivery = delivery

    def post(
        self,
        channel: Channel,
        draft: Draft,
        *,
        user_id: str,
        thread_ts: str | None = None,
        ephemeral_to: str | None = None,
    ) -> Message:
        message = Message(
            channel=channel.channel_id,
            ts=self._state.next_ts(),
            user=user_id,
            is_bot=user_id == self._state.seed.bot_user_id,
            text=draft.text[:MAX_TEXT],
            blocks=with_ids(draft.blocks),
            thread_ts=thread_ts,
            metadata=draft.metadata or None,
            ephemeral_to=ephemeral_to,
            mentions=active_in(draft.text, draft.blocks, parse_full=draft.parse_full),
            links=links_in(draft.text, draft.blocks),
            files=draft.files,
        )
        channel.keep(message)
        if ephemeral_to is None:
            self._tell(message, "posted")
            self._send(channel, {**self._json(channel, message), "event_ts": message.ts})
        else:
            self._tell(message, "ephemeral")
        return message

    def update(self, channel: Channel, message: Message, draft: Draft) -> None:
        """Say something else in its place; metadata None: as before, empty: none."""
        previous = self._json(channel, message)
        now = self._state.next_ts()
        message.text = draft.text[:MAX_TEXT]
        message.blocks = with_ids(draft.blocks)
        if draft.metadata is not None:
            message.metadata = draft.metadata or None
        # Slack marks an edit only where there are no blocks.
        message.edited_ts = None if draft.blocks else now
        message.mentions = active_in(draft.text, draft.blocks, parse_full=draft.parse_full)
        message.links = links_in(draft.text, draft.blocks)
        self._tell(message, "updated" if message.ephemeral_to is None else "ephemeral")
        if message.ephemeral_to is None:
            changed: Json = {"message": self._json(channel, message), "previous_message": previous}
            self._send(channel, self._hidden("message_changed", now, changed))

    def delete(self, channel: Channel, message: Message) -> None:
        previous = self._json(channel, message)
        now = self._state.next_ts()
        channel.remove(message.ts)
        self._tell(message, "deleted")
        if message.ephemeral_to is None:
            changed: Json = {"deleted_ts": message.ts, "previous_message": previous}
            self._send(channel, self._hidden("message_deleted", now, changed))

    def _hidden(self, subtype: str, ts: str, changed: Json) -> Json:
        return {
            "type": "message",
            "subtype": subtype,
            "hidden": True,
            "ts": ts,
            "event_ts": ts,
            **changed,
        }

    def _json(self, channel: Channel, message: Message) -> Json:
        return message_json(self._state.seed, channel, message, metadata=True)

    def _tell(self, message: Message, kind: str) -> None:
        self._stream.tell(
            "message",
            {
                "channel": message.channel,
                "ts": message.ts,
                "thread_ts": message.thread_ts,
                "kind": kind,
            },
            to=message.ephemeral_to,
        )

    def _send(self, channel: Channel, event: Json) -> None:
        """To the app, which hears only channels that it is in; its own messages as well."""
        if self._state.seed.bot_user_id in channel.members:
            kind = "group" if channel.is_private else "channel"
            self._delivery.event({**event, "channel": channel.channel_id, "channel_type": kind})
