"""What the playground's web servers share: nobody but this machine's own pages may drive them."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def local_only(request: web.Request) -> None:
    """Refuse a foreign Host (DNS rebinding) and a change asked for by another site's page.

    Raises:
        HTTPForbidden: with a sentence.
    """
    try:
        host = urlsplit(f"//{request.host}")
        origin = urlsplit(request.headers.get("Origin", f"http://{request.host}"))
    except ValueError:
        raise web.HTTPForbidden(text="This is no address.") from None
    if host.hostname not in _LOCAL or host.username is not None:
        raise web.HTTPForbidden(text="This page answers to localhost only.")
    if request.method not in {"GET", "HEAD"} and origin.netloc != request.host:
        raise web.HTTPForbidden(text="Another site may not do this.")
