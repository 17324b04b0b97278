from __future__ import annotations

from pathlib import Path

import pytest

from bot.domain.errors import SayableError
from bot.settings import Settings, read_secret, read_settings, require

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_nothing_need_be_set() -> None:
    settings = read_settings()
    assert settings.database_url is None
    assert settings.timezone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "http", "PORT is wrong"),
        ("PORT", "70000", "PORT is wrong"),
        ("TIMEZONE", "Mars/Olympus", "must be a zone of the IANA list"),
        ("TIMEZONE", "../etc/passwd", "must be a zone"),
        ("SLACK_BOT_TOKEN", "xapp-1-secret", "must be a bot token"),
        ("SLACK_APP_TOKEN", "xoxb-1-secret", "must be an app-level token"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "must look like postgresql://"),
        ("MARKET_API_URL", "example.com", "must start with http"),
        ("MARKET_SCHEMA", 'x"; DROP', "MARKET_SCHEMA is wrong"),
        ("LOCALE", "fr", "LOCALE is wrong"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SayableError) as caught:
        read_settings()
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "secret" not in str(caught.value).lower()


def test_what_is_missing_is_named_with_what_it_is_for() -> None:
    with pytest.raises(SayableError) as caught:
        require(read_settings(), "slack_bot_token", "alert_channel")
    assert "SLACK_BOT_TOKEN (Bot token" in str(caught.value)
    assert "ALERT_CHANNEL" in str(caught.value)


def test_a_dotenv_file_is_read_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=1111\nHOST=0.0.0.0\n", encoding="utf-8")
    monkeypatch.setenv("PORT", "2222")
    settings = read_settings()
    assert (settings.port, settings.host) == (2222, "0.0.0.0")


def test_the_example_names_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    named = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert named == {name.upper() for name in Settings.model_fields}


def test_the_example_is_accepted_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    (tmp_path / ".env").write_text(example, encoding="utf-8")
    assert read_settings().slack_bot_token is None


def test_a_secret_that_another_file_names_is_read_like_a_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SHOP_TOKEN= from-file \nCOPY=x\n", encoding="utf-8")
    assert read_secret("SHOP_TOKEN") == "from-file"
    assert read_secret("COPY") == "x"
    monkeypatch.setenv("SHOP_TOKEN", "from-environment")
    assert read_secret("SHOP_TOKEN") == "from-environment"
    with pytest.raises(SayableError, match="Set OTHER_TOKEN"):
        read_secret("OTHER_TOKEN")
    monkeypatch.setenv("SHOP_TOKEN", "canary\nX-Evil: 1")
    with pytest.raises(SayableError, match="printable ASCII") as caught:
        read_secret("SHOP_TOKEN")
    assert "canary" not in str(caught.value)


def test_secrets_do_not_show_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-canary")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:canary@h/d")
    assert "canary" not in repr(read_settings())
