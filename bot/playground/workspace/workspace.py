"""A local Slack workspace as tests and the demo use it: people act, everything can be read and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.playground.workspace import acting, people, submitting
from bot.playground.workspace.acting import Acted, Posted, Submitted
from bot.playground.workspace.core import Core
from bot.playground.workspace.faults import Fault, FaultKind
from bot.playground.workspace.state import Message
from bot.playground.workspace.views import View


class Workspace(Core):
    """Every method here is also what the page's server calls."""

    # ---- People act

    async def click(
        self,
        user_id: str,
        channel_id: str,
        ts: str,
        action_id: str,
        *,
        block_id: str | None = None,
        chosen: object = None,
    ) -> Acted:
        """Press a button or choose something in a message; `chosen`: an option's value, or Slack's shape."""
        return await acting.click(
            self, user_id, channel_id, ts, action_id, block_id=block_id, chosen=chosen
        )

    async def view_click(
        self,
        user_id: str,
        action_id: str,
        *,
        view_id: str | None = None,
        block_id: str | None = None,
        chosen: object = None,
        values: Mapping[str, object] | None = None,
    ) -> Acted:
        """Press or choose something in the open modal."""
        return await acting.view_click(
            self,
            user_id,
            action_id,
            view_id=view_id,
            block_id=block_id,
            chosen=chosen,
            values=values,
        )

    async def submit(
        self,
        user_id: str,
        values: Mapping[str, object] | None = None,
        *,
        view_id: str | None = None,
    ) -> Submitted:
        """Fill in and send the open modal; `values` by block id: a text, an option's value, a list of them."""
        return await submitting.submit(self, user_id, values or {}, view_id)

    async def close_view(self, user_id: str, view_id: str | None = None) -> Acted:
        return await acting.close_view(self, user_id, view_id)

    async def command(self, user_id: str, channel_id: str, command: str, text: str = "") -> Acted:
        return await acting.command(self, user_id, channel_id, command, text)

    async def post(
        self, user_id: str, channel_id: str, text: str, *, thread_ts: str | None = None
    ) -> Posted:
        return acting.post(self, user_id, channel_id, text, thread_ts)

    def mark_read(self, user_id: str, channel_id: str, ts: str) -> None:
        channel = self.state.channel(channel_id)
        channel.read_until[self.state.user(user_id).user_id] = ts
        self.stream.tell("state", {}, to=user_id)

    async def set_channel_locale(self, locale: str) -> None:
        """Choose the language of the shared cards, `ja` or `en`; the demo hears of it."""
        self.channel_locale = locale
        if self.on_channel_locale is not None:
            await self.on_channel_locale(locale)
        self.stream.tell("state", {})

    # ---- What is to be seen

    def messages(self, channel_id: str) -> list[Message]:
        """The channel's own messages, oldest first, without replies and ephemerals."""
        return [
            m
            for m in self.state.channel(channel_id).messages.values()
            if m.thread_ts is None and m.ephemeral_to is None
        ]

    def thread(self, channel_id: str, ts: str) -> list[Message]:
        """The replies to a message, oldest first."""
        return self.state.channel(channel_id).replies_to(ts)

    def ephemerals(self, user_id: str, channel_id: str | None = None) -> list[Message]:
        """What only this person was shown, oldest first."""
        return [
            m
            for channel in self.state.channels.values()
            if channel_id in (None, channel.channel_id)
            for m in channel.messages.values()
            if m.ephemeral_to == user_id
        ]

    def open_view(self, user_id: str) -> View | None:
        """The modal that this person sees."""
        return self.views.top(user_id)

    async def until(self, holds: Callable[[], bool], timeout_s: float = 10.0) -> bool:
        """Wait until something about the workspace is so; False: it was not in time."""
        return await self.stream.until(holds, timeout_s)

    # ---- What an administrator changes

    def add_to_group(self, group: str, user_id: str) -> None:
        """`group`: an id or a handle."""
        found = self.state.usergroup(group)
        people.change_members(self, found, [*found.users, self.state.user(user_id).user_id])

    def remove_from_group(self, group: str, user_id: str) -> None:
        found = self.state.usergroup(group)
        people.change_members(self, found, [u for u in found.users if u != user_id])

    def disable_group(self, group: str) -> None:
        people.set_disabled(self, self.state.usergroup(group), disabled=True)

    def enable_group(self, group: str) -> None:
        people.set_disabled(self, self.state.usergroup(group), disabled=False)

    def deactivate(self, user_id: str) -> None:
        user = self.state.user(user_id)
        user.deleted = True
        people.tell_change(self, user)

    def reactivate(self, user_id: str) -> None:
        user = self.state.user(user_id)
        user.deleted = False
        people.tell_change(self, user)

    def make_guest(self, user_id: str, *, guest: bool = True) -> None:
        user = self.state.user(user_id)
        user.is_restricted = guest
        people.tell_change(self, user)

    def rename(self, user_id: str, display_name: str) -> None:
        user = self.state.user(user_id)
        user.display_name = display_name
        people.tell_change(self, user)

    def set_locale(self, user_id: str, locale: str) -> None:
        """`locale`: `ja` or `en`."""
        user = self.state.user(user_id)
        user.locale = people.LOCALES[locale]
        people.tell_change(self, user)

    def archive(self, channel_id: str, *, archived: bool = True) -> None:
        self.state.channel(channel_id).is_archived = archived
        self.stream.tell("state", {})

    def remove_bot(self, channel_id: str) -> None:
        self.state.channel(channel_id).members.discard(self.seed.bot_user_id)
        self.stream.tell("state", {})

    def add_bot(self, channel_id: str) -> None:
        self.state.channel(channel_id).members.add(self.seed.bot_user_id)
        self.stream.tell("state", {})

    def delete_message(self, channel_id: str, ts: str) -> None:
        channel = self.state.channel(channel_id)
        self.board.delete(channel, channel.messages[ts])

    # ---- What goes wrong

    def fail(
        self,
        method: str,
        kind: FaultKind,
        *,
        after: bool = False,
        times: int | None = None,
        code: str = "internal_error",
        retry_after: int = 1,
    ) -> Fault:
        """Switch a fault on for one method of the Web API, or `*` for all; `faults.clear()` ends it."""
        return self.faults.add(
            Fault(
                method=method,
                kind=kind,
                after=after,
                times=times,
                code=code,
                retry_after=retry_after,
            )
        )

    def go_down(self) -> Fault:
        """Break every connection to the Web API until `faults.clear()`."""
        return self.fail("*", FaultKind.DROPPED)
