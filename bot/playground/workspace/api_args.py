"""The arguments of a Web API call: from the query, a form or JSON, merged as Slack merges them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from aiohttp import web

from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.state import Json

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_TRUE = frozenset({"1", "true", "True"})


class Args:
    """Typed access to arguments; what is wrong is said in Slack's words."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, dict | list):
            raise ApiError("invalid_arguments", messages=[f"[ERROR] must be a string: {name}"])
        return str(value)

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise ApiError(
                "invalid_arguments", messages=[f"[ERROR] missing required field: {name}"]
            )
        return value

    def flag(self, name: str) -> bool:
        value = self._values.get(name)
        return value is True or str(value) in _TRUE

    def limit(self, default: int, high: int) -> int:
        value = self._values.get("limit")
        if value in (None, ""):
            return default
        if not re.fullmatch(r"\d{1,6}", str(value)) or not 0 <= int(str(value)) <= high:
            raise ApiError("invalid_limit")
        return int(str(value)) or default

    def document(self, name: str, error: str) -> object:
        """A JSON argument, which may come as a string of JSON as well; None where it is absent."""
        value = self._values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(error) from None


async def read_call(request: web.Request) -> tuple[Json, str | None]:
    """The merged arguments and the token of a call.

    Raises:
        ApiError: the body is not what its content type says, or of a type that Slack does not take.
    """
    values: Json = dict(request.query)
    if request.method == "POST" and request.can_read_body:
        if "Content-Type" not in request.headers:
            raise ApiError("missing_post_type")
        if request.content_type in _FORMS:
            values |= {name: str(value) for name, value in (await request.post()).items()}
        elif request.content_type == "application/json":
            # A token in JSON is no token: Slack wants it in the header then.
            values |= {k: v for k, v in (await _json_body(request)).items() if k != "token"}
        else:
            raise ApiError("invalid_post_type")
    token = values.pop("token", None)
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return values, bearer.strip()
    return values, None if token is None else str(token)


async def _json_body(request: web.Request) -> Json:
    try:
        body = json.loads(await request.text())
    except (ValueError, RecursionError):
        raise ApiError("invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError("json_not_object")
    return body
