"""Settings from the environment, frozen; read by app.py and cli only."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, create_model, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.domain.errors import SayableError

DATA_DIR = Path(".data")
_SECRET_PATH = re.compile(r"[A-Za-z0-9_-]{20,200}")


class Settings(BaseSettings):
    """Every setting, named like its environment variable in lower case."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    slack_bot_token: SecretStr | None = Field(None, description="Bot token, xoxb-…")
    slack_signing_secret: SecretStr | None = Field(
        None, description="Signing secret, for HTTP delivery"
    )
    slack_signing_secret_previous: SecretStr | None = Field(
        None, description="The old signing secret, valid beside the new one during rotation"
    )
    slack_app_token: SecretStr | None = Field(
        None, description="App token, xapp-…: if set, Socket Mode is used instead of HTTP"
    )
    slack_api_url: str = Field("https://slack.com/api/", description="Slack's Web API")
    database_url: SecretStr | None = Field(
        None, description="The ledger, as the application role; not set: embedded Postgres"
    )
    database_owner_url: SecretStr | None = Field(
        None, description="The ledger, as its owner: for `mimawari migrate` only"
    )
    database_verifier_role: str | None = Field(
        None, description="A role that `mimawari migrate` lets read the audit log, and nothing else"
    )
    database_reader_url: SecretStr | None = Field(
        None,
        description="The ledger's views, as a role that can only SELECT them: for detections over the ledger",
    )
    market_database_url: SecretStr | None = Field(
        None, description="The marketplace's views, as a role that can only SELECT"
    )
    market_schema: str = Field("market", pattern=r"^[a-z_][a-z0-9_]*$")
    market_api_url: str | None = Field(None, description="The marketplace's admin API")
    market_api_token: SecretStr | None = Field(None, description="The admin API's bearer token")
    verb_map_file: Path | None = Field(
        None, description="Your verb map: endpoints of your own in place of the admin API"
    )
    alert_channel: str | None = Field(None, description="Channel id for cards, C…")
    security_channel: str | None = Field(
        None,
        description="Channel id for pauses, roles and the policy, C…; not set: that for cards",
    )
    dry_run: bool = Field(
        False, description="Show, decide and record everything, and change nothing outside"
    )
    policy_changes: Literal["reviewed", "two_people"] = Field(
        "reviewed",
        description="reviewed: a changed policy file is in force at the next start, and told; two_people: it is"
        " only proposed, and two administrators must approve it in Slack",
    )
    paused: str | None = Field(
        None, description="Pause `all`, or these actions (separated by commas), at the start"
    )
    digest_channel: str | None = Field(
        None, description="Channel id for digests, C…; not set: that for cards"
    )
    digest_at: time = Field(
        time(9, 0), description="When the digest of the day before is posted, in TIMEZONE"
    )
    detections_dir: Path | None = Field(None, description="A folder of your own detections")
    detection_seconds: float = Field(
        10.0, gt=0, le=300, description="What one run of a detection may take at most"
    )
    detection_rows: int = Field(
        20_000, ge=1, le=1_000_000, description="How many rows one run of a detection may return"
    )
    detection_bytes: int = Field(
        20_000_000, ge=1000, le=1_000_000_000, description="How large these rows may be together"
    )
    redash_url: str | None = Field(None, description="Your Redash, for its API")
    redash_api_key: SecretStr | None = Field(
        None, description="A user's API key of Redash, which sees alerts and the mapped queries"
    )
    redash_map: Path | None = Field(
        None,
        description="Your Redash map: which queries are detections, and what their columns mean",
    )
    redash_webhook_user: str | None = Field(
        None, description="User name of Redash's webhook destination"
    )
    redash_webhook_password: SecretStr | None = Field(
        None, description="Password of Redash's webhook destination"
    )
    redash_webhook_secret: SecretStr | None = Field(
        None, description="Last part of the address that Redash's webhook destination calls"
    )
    redash_poll_seconds: float = Field(
        60.0, ge=5, le=3600, description="How often Redash is asked, as its webhooks get lost"
    )
    policy_file: Path | None = Field(None, description="Your policy.yml; not set: the built-in one")
    timezone: str = Field("Asia/Tokyo", description="The team's zone, as in the IANA list")
    locale: str = Field("ja", pattern="^(ja|en)$", description="Language of the shared cards")
    glossary_file: Path | None = Field(
        None, description="Your shop's words for sellers, buyers and works; not set: ours"
    )
    public_url: str | None = Field(None, description="Where Slack reaches this process")
    oidc_issuer: str | None = Field(
        None, description="Your identity provider (OpenID Connect), where large approvals sign in"
    )
    oidc_client_id: str | None = Field(None, description="What the identity provider calls us")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Our secret at the identity provider; not set: a public client"
    )
    oidc_acr: str | None = Field(
        None, description="The class of sign-in to ask for and insist on (acr), such as one by key"
    )
    anchor_dir: Path | None = Field(None, description="Where hourly audit heads are written")
    host: str = "127.0.0.1"
    port: int = Field(8920, ge=1, le=65535)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("must be a zone of the IANA list, such as Asia/Tokyo") from error
        return value

    @field_validator("paused")
    @classmethod
    def _actions_by_name(cls, value: str | None) -> str | None:
        if value is not None and not all(
            name.strip().replace("_", "").isalpha() for name in value.split(",")
        ):
            raise ValueError("must be `all`, or names of actions separated by commas")
        return value

    @field_validator("digest_at")
    @classmethod
    def _time_of_day(cls, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError("must be a time of day in TIMEZONE, such as 09:00")
        return value

    @field_validator("slack_api_url", "market_api_url", "public_url", "oidc_issuer", "redash_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must start with http:// or https://")
        return value

    @field_validator("redash_webhook_secret")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _SECRET_PATH.fullmatch(value.get_secret_value()):
            raise ValueError(
                "must be 20 to 200 letters, digits, - or _, as `openssl rand -hex 24` makes them"
            )
        return value

    @field_validator("slack_bot_token")
    @classmethod
    def _bot_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("xoxb-"):
            raise ValueError("must be a bot token, which starts with xoxb-")
        return value

    @field_validator("slack_app_token")
    @classmethod
    def _app_token(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("xapp-"):
            raise ValueError("must be an app-level token, which starts with xapp-")
        return value

    @field_validator(
        "database_url", "database_owner_url", "database_reader_url", "market_database_url"
    )
    @classmethod
    def _postgres_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(
            ("postgresql://", "postgres://")
        ):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        return value

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        SayableError: the first wrong one, by its name, in one sentence without its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        words = first["msg"].removeprefix("Value error, ")
        raise SayableError(f"The setting {name} is wrong: it {_as_clause(words)}.") from error
    except UnicodeDecodeError as error:
        raise SayableError("The file .env is not UTF-8 text.") from error


def read_secret(name: str) -> str:
    """A secret that another file names, from the environment or .env.

    Raises:
        SayableError: it is not there, or no header could carry it.
    """
    field: Any = (SecretStr | None, Field(None, validation_alias=name))
    found = create_model("Secret", __base__=_Named, secret=field)().secret
    secret = "" if found is None else found.get_secret_value().strip()
    if not secret:
        raise SayableError(
            f"Set {name}: a verb map, a Redash map or a test names it as where its secret is."
        )
    if not secret.isascii() or not secret.isprintable():
        raise SayableError(f"The secret {name} must be printable ASCII, as it goes into a header.")
    return secret


class _Named(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    secret: SecretStr | None = None


def require(settings: Settings, *names: str) -> None:
    """Raise a sentence that names every missing setting and what it is for."""
    missing = [name for name in names if getattr(settings, name) is None]
    if missing:
        told = "; ".join(
            f"{name.upper()} ({Settings.model_fields[name].description or 'see .env.example'})"
            for name in missing
        )
        raise SayableError(f"Set {told}. See .env.example, or try `mimawari demo` first.")


def _as_clause(words: str) -> str:
    return (
        words if words.startswith("must ") else f"is not accepted ({words[0].lower()}{words[1:]})"
    )
