"""Files as Slack takes them now: ask for an address, send the bytes there, then say where to show them."""

from __future__ import annotations

import secrets
from urllib.parse import quote

from aiohttp import web

from bot.playground.workspace.api_access import writable_channel
from bot.playground.workspace.api_args import Args
from bot.playground.workspace.api_chat import thread_of
from bot.playground.workspace.api_errors import ApiError
from bot.playground.workspace.board import Draft
from bot.playground.workspace.core import Core
from bot.playground.workspace.state import File, Json, as_object

# As a method's name in the faults and in the traffic.
UPLOAD = "file_upload"
LARGEST = 4_000_000
"""In memory; Slack takes a gigabyte."""
KEPT_FILES = 200
UPLOAD_S = 600.0
_PNG = b"\x89PNG\r\n\x1a\n"


def get_upload_url(core: Core, args: Args) -> Json:
    """An address for bytes that are to come, of exactly this length."""
    name, length = args.required("filename"), args.required("length")
    if not length.isdigit() or int(length) < 1:
        raise ApiError("invalid_arguments", messages=["[ERROR] length must be a number above 0"])
    if int(length) > LARGEST:
        raise ApiError("file_upload_size_restricted")
    alt = args.text("alt_txt")
    if alt is not None and len(alt) > 1000:
        raise ApiError("alt_txt_too_large")
    file = File(
        file_id=f"F{secrets.token_hex(5).upper()}",
        name=name,
        length=int(length),
        alt_text=alt,
        secret=secrets.token_urlsafe(24),
        made_at=core.state.now(),
    )
    core.state.files[file.file_id] = file
    while len(core.state.files) > KEPT_FILES:
        core.state.files.pop(next(iter(core.state.files)))
    address = f"{core.base_url}/upload/v1/{file.secret}"
    return {"upload_url": address, "file_id": file.file_id}


async def take_upload(core: Core, request: web.Request) -> web.StreamResponse:
    """The bytes themselves, once, by whoever has the address."""
    fault = core.faults.strike(UPLOAD)
    if fault is not None and request.transport is not None:
        request.transport.abort()
        return web.Response(status=500)
    secret = request.match_info["secret"]
    file = next((f for f in core.state.files.values() if f.secret == secret), None)
    body = await _body_of(request)
    error = None
    if file is None or file.content is not None or core.state.now() - file.made_at > UPLOAD_S:
        error, status = "no such upload", 404
    elif len(body) != file.length:
        error, status = f"{len(body)} bytes, not {file.length} as announced", 400
    else:
        file.content, status = body, 200
    core.traffic.note(
        "in",
        UPLOAD,
        request={"bytes": len(body)},
        response={"error": error} if error else {},
        status=status,
        ok=error is None,
        error=error,
        ms=0,
    )
    return web.Response(status=status, text=error or f"OK - {len(body)}")


async def _body_of(request: web.Request) -> bytes:
    if request.content_type == "multipart/form-data":
        parts = (await request.post()).values()
        found = [part.file.read() for part in parts if isinstance(part, web.FileField)]
        return found[0] if len(found) == 1 else b""
    return await request.read()


def complete_upload(core: Core, args: Args) -> Json:
    """Show uploaded files as one message; without a channel they stay private."""
    asked = args.document("files", "invalid_arguments")
    if not isinstance(asked, list) or not asked or len(asked) > 10:
        raise ApiError("invalid_arguments", messages=["[ERROR] files must be a list of 1 to 10"])
    files: list[File] = []
    for one in asked:
        known = core.state.files.get(str(as_object(one).get("id")))
        # What was shown once is not shown again by its upload.
        if known is None or known.content is None or known.completed:
            raise ApiError("file_not_found")
        title = as_object(one).get("title")
        known.title = str(title) if title else known.name
        files.append(known)
    channel_id = args.text("channel_id")
    thread_ts, comment = args.text("thread_ts"), args.text("initial_comment") or ""
    if args.document("blocks", "invalid_blocks_format") is not None and comment:
        raise ApiError("invalid_arguments", messages=["[ERROR] blocks or initial_comment"])
    if thread_ts and not channel_id:
        raise ApiError("invalid_thread_ts")
    if channel_id:
        channel = writable_channel(core, channel_id)
        thread = thread_of(core, args, channel.channel_id)
        for file in files:
            file.completed = True
        core.board.post(
            channel,
            Draft(text=comment, files=tuple(files)),
            user_id=core.seed.bot_user_id,
            thread_ts=thread,
        )
    for file in files:
        file.completed = True
    return {"files": [{"id": file.file_id, "title": file.title} for file in files]}


async def show(core: Core, request: web.Request) -> web.StreamResponse:
    """The picture, for the page alone: Slack's own files need a token or a signed-in browser."""
    file = core.state.files.get(request.match_info["file"])
    if file is None or file.content is None:
        raise web.HTTPNotFound
    # Anything but a picture is offered as bytes, so that no file of somebody runs as a page.
    is_png = file.content.startswith(_PNG)
    return web.Response(
        body=file.content,
        content_type="image/png" if is_png else "application/octet-stream",
        headers={"Content-Disposition": f"inline; filename*=UTF-8''{quote(file.name)}"},
    )
