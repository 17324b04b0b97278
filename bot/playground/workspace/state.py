"""What a local workspace holds in memory: people, groups, channels and their messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bot.playground.workspace.seed import Seed

# Each channel keeps its newest messages only; an older one is as gone as a deleted one.
KEPT_MESSAGES = 5_000

Json = dict[str, object]


@dataclass(slots=True, kw_only=True)
class User:
    user_id: str
    team_id: str
    name: str
    display_name: str
    real_name: str
    title: str
    locale: str
    color: str
    is_bot: bool
    is_restricted: bool
    is_ultra_restricted: bool
    deleted: bool
    updated: int


@dataclass(slots=True, kw_only=True)
class Usergroup:
    usergroup_id: str
    handle: str
    name: str
    users: list[str]
    updated: int
    disabled_at: int = 0
    """When somebody disabled it; 0: it is in use."""


@dataclass(slots=True, kw_only=True)
class File:
    """An uploaded file, or one whose bytes are still to come (`content` None)."""

    file_id: str
    name: str
    length: int
    secret: str
    """The end of the address that takes its bytes, once."""
    made_at: float
    title: str = ""
    alt_text: str | None = None
    content: bytes | None = None
    completed: bool = False


@dataclass(slots=True, kw_only=True)
class Message:
    """A message; one with `ephemeral_to` exists for that person alone and is in no history."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json]
    is_bot: bool = False
    thread_ts: str | None = None
    metadata: Json | None = None
    edited_ts: str | None = None
    ephemeral_to: str | None = None
    mentions: tuple[str, ...] = ()
    """Every mention that Slack would make active, as `<!channel>` or `<@U…>`; links are in `links`."""
    links: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


@dataclass(slots=True, kw_only=True)
class Channel:
    channel_id: str
    name: str
    topic: str
    is_private: bool
    members: set[str]
    is_archived: bool = False
    created: int = 0
    messages: dict[str, Message] = field(default_factory=dict)
    """Oldest first, by ts."""
    threads: dict[str, list[Message]] = field(default_factory=dict)
    """The replies by their parent's ts, oldest first."""
    read_until: dict[str, str] = field(default_factory=dict)

    def keep(self, message: Message) -> None:
        """Add a message, and let the oldest go where there are too many."""
        self.messages[message.ts] = message
        if message.thread_ts is not None and message.ephemeral_to is None:
            self.threads.setdefault(message.thread_ts, []).append(message)
        while len(self.messages) > KEPT_MESSAGES:
            self.remove(next(iter(self.messages)))

    def remove(self, ts: str) -> None:
        message = self.messages.pop(ts)
        thread = self.threads.get(message.thread_ts or "", [])
        if message in thread:
            thread.remove(message)

    def replies_to(self, ts: str) -> list[Message]:
        return list(self.threads.get(ts, []))


class NotKnown(LookupError):
    """An id that the workspace does not have; its message is a sentence."""


class State:
    """The tables of a workspace, and its clock."""

    def __init__(self, seed: Seed, *, now: Callable[[], float] = time.time) -> None:
        self.seed = seed
        self.now = now
        started = int(now())
        self._last_us = 0
        self.files: dict[str, File] = {}
        """The newest, by id."""
        self.users = {
            user.user_id: User(
                user_id=user.user_id,
                team_id=user.team_id or seed.team_id,
                name=user.name,
                display_name=user.display_name,
                real_name=user.real_name or user.display_name,
                title=user.title,
                locale=user.locale,
                color=user.color,
                is_bot=user.is_bot,
                is_restricted=user.is_restricted,
                is_ultra_restricted=user.is_ultra_restricted,
                deleted=user.deleted,
                updated=started,
            )
            for user in seed.users
        }
        self.usergroups = {
            group.usergroup_id: Usergroup(
                usergroup_id=group.usergroup_id,
                handle=group.handle,
                name=group.name,
                users=list(group.users),
                updated=started,
            )
            for group in seed.usergroups
        }
        everybody = {user.user_id for user in seed.users if user.user_id != seed.bot_user_id}
        self.channels = {
            channel.channel_id: Channel(
                channel_id=channel.channel_id,
                name=channel.name,
                topic=channel.topic,
                is_private=channel.is_private,
                created=started,
                members=(everybody if channel.members is None else set(channel.members))
                | ({seed.bot_user_id} if channel.bot_is_member else set()),
            )
            for channel in seed.channels
        }

    def next_ts(self) -> str:
        """A message's name: the time in microseconds, and never the same twice."""
        self._last_us = max(int(self.now() * 1_000_000), self._last_us + 1)
        return f"{self._last_us // 1_000_000}.{self._last_us % 1_000_000:06d}"

    def user(self, user_id: str) -> User:
        """Raises NotKnown for people that the workspace does not know."""
        if user_id not in self.users:
            raise NotKnown(f"the workspace has no user {user_id}")
        return self.users[user_id]

    def channel(self, channel_id: str) -> Channel:
        """Raises NotKnown for channels that the workspace does not have."""
        if channel_id not in self.channels:
            raise NotKnown(f"the workspace has no channel {channel_id}")
        return self.channels[channel_id]

    def usergroup(self, id_or_handle: str) -> Usergroup:
        """Raises NotKnown for groups that the workspace does not have."""
        for group in self.usergroups.values():
            if id_or_handle in (group.usergroup_id, group.handle):
                return group
        raise NotKnown(f"the workspace has no user group {id_or_handle}")

    def visible(self, channel_id: str, ts: str, viewer: str | None) -> Message | None:
        """A message as somebody may see it; `viewer` None: as the channel's history has it."""
        channel = self.channels.get(channel_id)
        message = channel.messages.get(ts) if channel else None
        if message is None or message.ephemeral_to not in (None, viewer):
            return None
        return message


def as_objects(value: object) -> list[Json]:
    """The objects of a JSON array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_object(value: object) -> Json:
    """A JSON object; empty where there is none."""
    return value if isinstance(value, dict) else {}


def without_none(fields: Mapping[str, object]) -> Json:
    """The fields that are set, as Slack leaves the others out."""
    return {name: value for name, value in fields.items() if value is not None}


def ids_of(messages: Sequence[Message]) -> list[str]:
    """Who wrote them, each once, in order."""
    return list(dict.fromkeys(message.user for message in messages))
