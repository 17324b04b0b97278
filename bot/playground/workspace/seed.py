"""What a local workspace starts with: its people, channels, tokens and the app that is installed in it."""

from __future__ import annotations

from dataclasses import dataclass

# The bot scopes of app_manifest.yml; a test keeps the two alike.
GRANTED_SCOPES = frozenset(
    {
        "chat:write",
        "files:write",
        "commands",
        "users:read",
        "usergroups:read",
        "channels:read",
        "groups:read",
        "channels:history",
        "groups:history",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedUser:
    """A person or bot; `team_id` differs from the workspace's for people from outside it."""

    user_id: str
    name: str
    display_name: str
    real_name: str = ""
    title: str = ""
    locale: str = "ja-JP"
    team_id: str | None = None
    color: str = "4a6fa5"
    is_bot: bool = False
    is_restricted: bool = False
    """A guest of several channels."""
    is_ultra_restricted: bool = False
    """A guest of one channel."""
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedUsergroup:
    usergroup_id: str
    handle: str
    name: str
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedChannel:
    """A channel; without `members` everybody of the workspace but the bot is in it."""

    channel_id: str
    name: str
    topic: str = ""
    is_private: bool = False
    bot_is_member: bool = False
    members: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedCommand:
    """A slash command that the app's manifest declares."""

    command: str
    description: str
    usage_hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedLink:
    """A link that the page shows beside the channels."""

    label_ja: str
    label_en: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A whole workspace at its start."""

    team_id: str
    team_name: str
    team_domain: str
    app_id: str
    bot_id: str
    bot_user_id: str
    bot_token: str
    app_token: str
    signing_secret: str
    users: tuple[SeedUser, ...]
    usergroups: tuple[SeedUsergroup, ...]
    channels: tuple[SeedChannel, ...]
    commands: tuple[SeedCommand, ...]
    links: tuple[SeedLink, ...] = ()
    scopes: frozenset[str] = GRANTED_SCOPES
    home_tab_enabled: bool = False
    # The deprecated token that Slack still puts into every payload; nothing may trust it.
    verification_token: str = "verification-token-of-the-local-workspace"  # noqa: S105


def demo_seed(*, market_url: str | None = None) -> Seed:
    """The workspace of `mimawari demo` and of most tests."""
    links = (
        (SeedLink(label_ja="デモの管理画面", label_en="Demo back office", url=market_url),)
        if market_url
        else ()
    )
    return Seed(
        team_id="T0MIMAWARI",
        team_name="みなと市場",
        team_domain="minato-ichiba",
        app_id="A0MIMAWARI",
        bot_id="B0MIMAWARI",
        bot_user_id="U0BOT",
        bot_token="xoxb-demo-token",  # noqa: S106 - opens nothing but a workspace on this machine
        app_token="xapp-demo-token",  # noqa: S106
        signing_secret="demo-signing-secret",  # noqa: S106
        users=(
            SeedUser(
                user_id="U0SATO",
                name="sato",
                display_name="佐藤",
                real_name="佐藤 美咲",
                title="カスタマーサポート",
                color="2f6f4f",
            ),
            SeedUser(
                user_id="U0SUZUKI",
                name="suzuki",
                display_name="鈴木",
                real_name="鈴木 健",
                title="カスタマーサポート",
                color="8a5a2b",
            ),
            SeedUser(
                user_id="U0TANAKA",
                name="tanaka",
                display_name="田中",
                real_name="田中 由紀",
                title="カスタマーサポート責任者(承認者)",
                color="7a3e6b",
            ),
            SeedUser(
                user_id="U0SMITH",
                name="smith",
                display_name="Smith",
                real_name="Alex Smith",
                title="Support lead (approver)",
                locale="en-US",
                color="3a5f9a",
            ),
            SeedUser(
                user_id="U0ITO",
                name="ito",
                display_name="伊藤",
                real_name="伊藤 大輔",
                title="CREエンジニア",
                color="48606f",
            ),
            SeedUser(
                user_id="U0WATANABE",
                name="watanabe",
                display_name="渡辺",
                real_name="渡辺 恵",
                title="経理",
                color="6b6f2f",
            ),
            SeedUser(
                user_id="U0YAMADA",
                name="yamada",
                display_name="山田",
                real_name="山田 太郎",
                title="広報(権限なし)",
                color="6f4848",
            ),
            SeedUser(
                user_id="U0GUEST",
                name="guest",
                display_name="ゲスト",
                real_name="外部 ゲスト",
                title="ゲスト",
                color="777777",
                is_restricted=True,
            ),
            SeedUser(
                user_id="U0BOT",
                name="mimawari",
                display_name="mimawari",
                real_name="Mimawari",
                color="1f3a5f",
                is_bot=True,
            ),
        ),
        usergroups=(
            SeedUsergroup(
                usergroup_id="S0AGENTS",
                handle="cs-agents",
                name="CS担当",
                users=("U0SATO", "U0SUZUKI"),
            ),
            SeedUsergroup(
                usergroup_id="S0LEADS",
                handle="cs-leads",
                name="CS責任者",
                users=("U0TANAKA", "U0SMITH"),
            ),
            SeedUsergroup(
                usergroup_id="S0ENGINEERS",
                handle="engineers",
                name="エンジニア",
                users=("U0ITO",),
            ),
            SeedUsergroup(
                usergroup_id="S0ACCOUNTING",
                handle="accounting",
                name="経理",
                users=("U0WATANABE",),
            ),
            SeedUsergroup(
                usergroup_id="S0ADMINS",
                handle="cre-admins",
                name="管理者",
                users=("U0SMITH", "U0ITO"),
            ),
            SeedUsergroup(
                usergroup_id="S0ONCALL",
                handle="cre-on-call",
                name="緊急当番",
                users=("U0ITO",),
            ),
        ),
        channels=(
            SeedChannel(
                channel_id="C0ALERTS",
                name="fraud-alerts",
                topic="不正の疑いがある注文・アカウント / Suspected fraud",
                bot_is_member=True,
            ),
            SeedChannel(
                channel_id="C0DIGEST",
                name="fraud-digest",
                topic="日次のまとめ / Daily summary",
                bot_is_member=True,
            ),
            SeedChannel(channel_id="C0GENERAL", name="general", topic="全体連絡 / Everybody"),
        ),
        commands=(
            SeedCommand(
                command="/cre",
                description="不正対応の確認と操作 / Look at cases and act on them",
                usage_hint="help | next | queue | case ID | cancel ORDER | refund ORDER | suspend ACCOUNT | takedown LISTING | audit SUBJECT | rules [PAGE or NAME MODE REASON] | digest [DATE] | pause [ACTION] REASON | resume [ACTION] | delegate [@NAME FROM UNTIL] | list [LIST KIND VALUE DAYSd REASON] | snooze DETECTION [KIND:]ID DAYSd [REASON]",
            ),
        ),
        links=links,
    )
