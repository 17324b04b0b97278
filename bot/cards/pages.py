"""Pages of the step-up sign-in: plain HTML without scripts, one clear sentence an end."""

from __future__ import annotations

from collections import Counter
from html import escape

from bot.cards.wording import action_name, case_name, verb_name
from bot.domain.cases import CaseView, Decision
from bot.domain.text import user_text
from bot.locale import N_, Messages

_STYLE = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:36em;margin:3em auto;padding:0 1em}"
    "button{font:inherit;padding:.5em 1.2em}"
)
_TARGETS = 20

ENDS = {
    "done": N_("Approved. You can close this page; the card in Slack shows what happens now."),
    "waits": N_("Your approval is recorded. Another person must approve it too."),
    "link": N_(
        "This link was used already, has run out or is not whole. Press “Approve” on the card in Slack again."
    ),
    "changed": N_(
        "The request has changed or was decided meanwhile, so nothing was done. Look at the card in Slack."
    ),
    "person": N_(
        "You signed in as somebody else than the one who pressed the button in Slack, so nothing was approved."
    ),
    "not_accepted": N_(
        "The sign-in could not be accepted, so nothing was approved. Press “Approve” on the card in Slack again."
    ),
    "provider": N_(
        "The sign-in service does not answer at the moment, so nothing was approved. Please try again in a minute."
    ),
    "slack": N_(
        "Slack did not say who you are, so nothing was approved. Please try again in a minute."
    ),
    "ledger": N_(
        "Nothing was approved: our records cannot be reached. Please try again in a minute."
    ),
}
"""How it can end, by a word."""


def end_page(end: str, messages: Messages, *, sentence: str | None = None) -> str:
    """How it ended; `sentence` says it in place of the word, as plain text."""
    told = sentence if sentence is not None else messages.t(ENDS[end])
    return _page(messages, f"<p>{escape(told)}</p>")


def confirm_page(
    view: CaseView, decision: Decision, *, csrf: str, action: str, messages: Messages
) -> str:
    """What is about to be approved, in words and money, and one button."""
    verbs = Counter(verb for verb, _ in decision.targets)
    lines = [
        messages.t("{verb}: {count}", verb=verb_name(verb, messages), count=messages.number(count))
        for verb, count in verbs.items()
    ]
    ids = [user_text(subject.id, 60) for _, subject in decision.targets[:_TARGETS]]
    left = len(decision.targets) - len(ids)
    if left:
        ids.append(messages.n("and {count} more", "and {count} more", left))
    asked = user_text(view.names.get(decision.requested_by, decision.requested_by), 60)
    amounts = messages.monies(list(decision.amounts))
    money = messages.t("Amount: {amount}", amount=amounts)
    by = messages.t("Requested by: {name}", name=asked)
    why = messages.t("Reason: {reason}", reason=user_text(messages.word(decision.reason), 300))
    nothing = messages.t("Close this page if you do not want to: then nothing happens.")
    parts = [
        f"<h1>{escape(case_name(view.case_id))} {escape(action_name(decision.action, messages))}</h1>",
        f"<p><strong>{escape(money)}</strong></p>",
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>",
        f"<p>{escape(messages.series(ids))}</p>",
        f"<p>{escape(by)}</p>",
        f"<p>{escape(why)}</p>",
        _form(action, csrf, messages.t("Approve")),
        f"<p>{escape(nothing)}</p>",
    ]
    return _page(messages, "".join(parts))


def _form(action: str, csrf: str, button: str) -> str:
    return (
        f'<form method="post" action="{escape(action)}">'
        f'<input type="hidden" name="csrf" value="{escape(csrf)}">'
        f"<button>{escape(button)}</button></form>"
    )


def _page(messages: Messages, body: str) -> str:
    return (
        f'<!doctype html><html lang="{escape(messages.locale)}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Mimawari</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
