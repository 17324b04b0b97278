"""The views.* methods."""

from __future__ import annotations

from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.core import Core
from bot.playground.workspace.state import Json
from bot.playground.workspace.views import checked_view


def open_view(core: Core, args: Args) -> Json:
    fields = _view_of(args, "modal")
    trigger = core.triggers.exchange(args.required("trigger_id"))
    return {"view": core.views.payload(core.views.open(trigger.user_id, fields))}


def push(core: Core, args: Args) -> Json:
    fields = _view_of(args, "modal")
    trigger = core.triggers.exchange(args.required("trigger_id"))
    return {"view": core.views.payload(core.views.push(trigger.user_id, fields))}


def update(core: Core, args: Args) -> Json:
    fields = _view_of(args, None)
    view_id, external_id = args.text("view_id"), args.text("external_id")
    if not view_id and not external_id:
        raise ApiError("invalid_arguments", messages=["[ERROR] missing required field: view_id"])
    view = core.views.find(view_id, external_id)
    if view is None:
        raise ApiError("not_found")
    return {"view": core.views.payload(core.views.update(view, fields, args.text("hash") or None))}


def publish(core: Core, args: Args) -> Json:
    if not core.seed.home_tab_enabled:
        raise ApiError("not_enabled")
    fields = _view_of(args, "home")
    user = core.state.users.get(args.required("user_id"))
    if user is None or user.deleted:
        raise ApiError("user_not_found")
    home = core.views.publish(user.user_id, fields, args.text("hash") or None)
    return {"view": core.views.payload(home)}


def _view_of(args: Args, kind: str | None) -> Json:
    view = args.document("view", "invalid_arguments")
    if view is None:
        raise ApiError("invalid_arguments", messages=["[ERROR] missing required field: view"])
    fields = checked_view(view)
    if kind not in (None, fields["type"]):
        raise ApiError(
            "invalid_arguments",
            messages=[f"[ERROR] must be one of [{kind}] [json-pointer:/view/type]"],
        )
    return fields
