"""The sending of a modal: what is checked before, and what the app's answer does to it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from bot.playground.workspace.acting import Submitted, open_view
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.delivery import Answer
from bot.playground.workspace.payloads import view_submission
from bot.playground.workspace.state import as_object
from bot.playground.workspace.view_state import NoSuchInput, fill, problems_before_sending
from bot.playground.workspace.views import View, checked_view


async def submit(
    core: Core, user_id: str, values: Mapping[str, object], view_id: str | None = None
) -> Submitted:
    """Fill in a modal and send it; one that is not filled in is not sent."""
    user = core.state.user(user_id)
    view = open_view(core, user_id, view_id)
    if view is None or view is not core.views.top(user_id):
        return Submitted(ok=False, error="view_not_found", view=core.views.top(user_id))
    if view.fields.get("submit") is None:
        return Submitted(ok=False, error="nothing_to_submit", view=view)
    try:
        view.values = fill(view.blocks, view.values, values)
    except NoSuchInput as error:
        return Submitted(ok=False, error=f"no_such_element: {error}", view=view)
    problems = problems_before_sending(view.blocks, view.values, user.locale)
    if problems:
        return Submitted(
            ok=False, error="incomplete", response_action="errors", errors=problems, view=view
        )
    answer = await core.delivery.interaction(view_submission(core, user, view))
    if not answer.ok:
        return Submitted(
            ok=False, status=answer.status, ms=answer.ms, error=answer.error, view=view
        )
    try:
        action, errors = _follow(core, view, answer)
    except ApiError as error:
        # Slack's client then says "We had some trouble connecting"; here it says why.
        detail = "; ".join(error.messages)
        return Submitted(
            ok=False,
            status=answer.status,
            ms=answer.ms,
            error=f"{error.code}: {detail}" if detail else error.code,
            view=core.views.top(user_id),
        )
    return Submitted(
        ok=True,
        status=answer.status,
        ms=answer.ms,
        response_action=action,
        errors=errors,
        view=core.views.top(user_id),
    )


def _follow(core: Core, view: View, answer: Answer) -> tuple[str | None, dict[str, str]]:
    """Do what the app answered. Raises ApiError where Slack would not understand it."""
    if not answer.body.strip():
        core.views.close(view)
        return None, {}
    try:
        told = as_object(json.loads(answer.body))
    except ValueError:
        raise ApiError("invalid_response", messages=["the answer is not JSON"]) from None
    action = told.get("response_action")
    match action:
        case None:
            core.views.close(view)
        case "clear":
            core.views.close(view, all_views=True)
        case "errors":
            return "errors", _errors_of(view, told.get("errors"))
        case "update":
            core.views.update(view, checked_view(told.get("view")))
        case "push":
            core.views.push(view.user_id, checked_view(told.get("view")))
        case _:
            raise ApiError("invalid_response", messages=[f"unknown response_action {action}"])
    return None if action is None else str(action), {}


def _errors_of(view: View, errors: object) -> dict[str, str]:
    inputs = {str(block["block_id"]) for block in view.blocks if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors:
        raise ApiError("invalid_response", messages=["errors must be an object with an entry"])
    for block_id, text in errors.items():
        if block_id not in inputs:
            raise ApiError("invalid_response", messages=[f"no input block {block_id}"])
        if not isinstance(text, str) or not text:
            raise ApiError("invalid_response", messages=[f"the error of {block_id} must be a text"])
    return {str(block_id): str(text) for block_id, text in errors.items()}
