"""A strict OpenID Connect provider of one's own: for tests, and to try the step-up sign-in on a laptop.

It refuses what a provider must refuse: another redirect_uri, a missing PKCE challenge, state or nonce, a code that is
used again, old or of another client, a verifier that does not fit. Its keys can be rotated, and it can be told to lie.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler
from joserfc import jwt
from joserfc.jwk import RSAKey

CODE_LIVES_S = 60.0
TOKEN_LIVES_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An application that may send people here."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """What a code stands for."""

    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    email: str
    signed_in_at: float
    made_at: float


@dataclass(slots=True, kw_only=True)
class Lies:
    """What the provider does wrong on purpose; nothing of it: it is honest."""

    claims: dict[str, object] = field(default_factory=dict)
    """Put in place of what is true; None takes a claim out."""
    unsigned: bool = False
    """`alg: none`."""
    shared_secret: str | None = None
    """Signed by HMAC, with what both sides know."""
    foreign_key: bool = False
    """Signed by a key that is not published, under the name of one that is."""
    away: bool = False
    """Every answer is 503."""


class LocalIdentity:
    """One provider with its people, who sign in by naming themselves."""

    def __init__(self, client: Client, emails: Mapping[str, str]) -> None:
        self.issuer = ""
        self.lies = Lies()
        self.refusals: list[str] = []
        """Why it turned requests away, in their order."""
        self._client = client
        self._emails = dict(emails)
        """By name, as they are offered on the page."""
        self._grants: dict[str, _Grant] = {}
        self._used: set[str] = set()
        self._keys = [_new_key()]

    def rotate(self, *, keep_old: bool = False) -> None:
        """Sign by a new key from now on; the old one is published on only where it is kept."""
        self._keys = [_new_key(), *(self._keys if keep_old else [])]

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._maybe_away])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/sign-in", self._sign_in)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._publish)
        return app

    @web.middleware
    async def _maybe_away(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.lies.away:
            return web.Response(status=503)
        return await handler(request)

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _publish(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": [key.as_dict(private=False) for key in self._keys]})

    async def _authorize(self, request: web.Request) -> web.Response:
        problem = self._problem_with(request.query)
        if problem is not None:
            return self._turn_away(problem)
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in request.query.items()
        )
        buttons = "".join(
            f'<p><button name="email" value="{html.escape(email)}">{html.escape(name)}</button></p>'
            for name, email in self._emails.items()
        )
        return web.Response(
            text=f"<!doctype html><title>Sign in</title><h1>Sign in as</h1>"
            f'<form method="post" action="/sign-in">{hidden}{buttons}</form>',
            content_type="text/html",
        )

    async def _sign_in(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        problem = self._problem_with(form)
        if problem is None and form.get("email") not in self._emails.values():
            problem = "person"
        if problem is not None:
            return self._turn_away(problem)
        code, now = token_urlsafe(24), time.time()
        self._grants[code] = _Grant(
            client_id=form["client_id"],
            redirect_uri=form["redirect_uri"],
            challenge=form["code_challenge"],
            nonce=form["nonce"],
            email=form["email"],
            signed_in_at=now,
            made_at=now,
        )
        back = f"{form['redirect_uri']}?{urlencode({'code': code, 'state': form['state']})}"
        return web.Response(status=303, headers={"Location": back})

    def _problem_with(self, asked: Mapping[str, str]) -> str | None:
        """Why a request to sign somebody in is turned away, never back to where it says it came from."""
        if asked.get("client_id") != self._client.client_id:
            return "client_id"
        if asked.get("redirect_uri") != self._client.redirect_uri:
            return "redirect_uri"
        if asked.get("response_type") != "code":
            return "response_type"
        if "openid" not in asked.get("scope", "").split():
            return "scope"
        if (
            asked.get("code_challenge_method") != "S256"
            or len(asked.get("code_challenge", "")) != 43
        ):
            return "pkce"
        return next((name for name in ("state", "nonce") if len(asked.get(name, "")) < 16), None)

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form.get("client_id") != self._client.client_id or not hmac.compare_digest(
            form.get("client_secret", ""), self._client.client_secret
        ):
            return self._turn_away("invalid_client", 401)
        code = form.get("code", "")
        grant = self._grants.pop(code, None)
        if code in self._used:
            return self._turn_away("reused_code")
        self._used.add(code)
        if grant is None or form.get("grant_type") != "authorization_code":
            return self._turn_away("invalid_grant")
        if form.get("redirect_uri") != grant.redirect_uri or time.time() > (
            grant.made_at + CODE_LIVES_S
        ):
            return self._turn_away("invalid_grant")
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        told = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        if not hmac.compare_digest(told, grant.challenge):
            return self._turn_away("pkce")
        return web.json_response(
            {
                "token_type": "Bearer",
                "access_token": token_urlsafe(16),
                "id_token": self._id_token(grant),
            }
        )

    def _id_token(self, grant: _Grant) -> str:
        now = int(time.time())
        told: dict[str, object] = {
            "iss": self.issuer,
            "sub": hashlib.sha256(grant.email.encode()).hexdigest()[:24],
            "aud": grant.client_id,
            "iat": now,
            "exp": now + TOKEN_LIVES_S,
            "auth_time": int(grant.signed_in_at),
            "nonce": grant.nonce,
            "email": grant.email,
            "email_verified": True,
            **self.lies.claims,
        }
        claims = {name: value for name, value in told.items() if value is not None}
        header: dict[str, object] = {"alg": "RS256", "kid": self._keys[0].kid}
        if self.lies.unsigned:
            return f"{_part({'alg': 'none'})}.{_part(claims)}."
        if self.lies.shared_secret is not None:
            signed = f"{_part({'alg': 'HS256'})}.{_part(claims)}"
            mac = hmac.new(self.lies.shared_secret.encode(), signed.encode(), hashlib.sha256)
            return f"{signed}.{base64.urlsafe_b64encode(mac.digest()).rstrip(b'=').decode()}"
        key = RSAKey.generate_key(2048) if self.lies.foreign_key else self._keys[0]
        return jwt.encode(header, claims, key)

    def _turn_away(self, why: str, status: int = 400) -> web.Response:
        self.refusals.append(why)
        return web.json_response({"error": why}, status=status)


@asynccontextmanager
async def serving(identity: LocalIdentity, *, port: int = 0) -> AsyncIterator[str]:
    """The provider on this machine; its issuer."""
    runner = web.AppRunner(identity.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        identity.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield identity.issuer
    finally:
        await runner.cleanup()


def _new_key() -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=True)


def _part(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
