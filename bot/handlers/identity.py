"""The team's identity provider: sends a browser there, and checks what it says when the browser is back."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import urlencode, urlsplit

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from bot.domain.step_up import SignIn

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Signatures by a key that only the provider has; so neither `none` nor a shared secret."""
LEEWAY_S = 60
TIMEOUT = aiohttp.ClientTimeout(total=8, connect=4)
MAX_ANSWER = 256 * 1024
REMEMBER_S = 600.0
_MAX_TOKEN = 16 * 1024
_CODE = re.compile(r"[\x21-\x7e]{1,2048}")


class ProviderAwayError(Exception):
    """The identity provider does not answer, or not as OpenID Connect has it."""


class NotAcceptedError(Exception):
    """The sign-in is not what was asked for; says in a word why, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """What the provider says of itself."""

    authorize: str
    token: str
    keys: str


class IdentityProvider:
    """One OpenID Connect provider: the authorization code flow with PKCE, and nothing else of it."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        redirect_uri: str,
        acr: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._session = session
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._acr = acr
        self._now = now
        self._known: tuple[float, Provider] | None = None

    async def check(self) -> None:
        """Whether it answers, as for `mimawari doctor`.

        Raises:
            ProviderAwayError: it does not, or says something else than its address.
        """
        await self._provider()

    async def address(self, sign_in: SignIn, *, max_age_s: int) -> str:
        """Where the browser goes to sign in.

        Raises:
            ProviderAwayError: it does not say where.
        """
        provider = await self._provider()
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(sign_in.code_verifier.encode()).digest()
        ).rstrip(b"=")
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid email",
            "state": sign_in.state,
            "nonce": sign_in.nonce,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            "max_age": str(max_age_s),
            **({"acr_values": self._acr} if self._acr else {}),
        }
        joint = "&" if urlsplit(provider.authorize).query else "?"
        return f"{provider.authorize}{joint}{urlencode(asked)}"

    async def email_of(
        self, code: str, *, code_verifier: str, nonce_hash: str, max_age_s: int
    ) -> str:
        """The e-mail address of who signed in, once everything about the sign-in is found right.

        Raises:
            ProviderAwayError: the provider, or its keys, cannot be reached.
            NotAcceptedError: the code, the token or a claim of it is not what it must be.
        """
        if not _CODE.fullmatch(code):
            # None, where the provider says that it did not let anybody in.
            raise NotAcceptedError("no_code")
        provider = await self._provider()
        answer = await self._redeem(provider, code, code_verifier)
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > _MAX_TOKEN:
            raise NotAcceptedError("no_token")
        claims = await self._read(provider, token)
        self._check(claims, nonce_hash, max_age_s)
        email = claims.get("email")
        if not isinstance(email, str) or not email or claims.get("email_verified") is False:
            raise NotAcceptedError("email")
        return email

    async def _redeem(self, provider: Provider, code: str, code_verifier: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self._client_id,
            "code_verifier": code_verifier,
        }
        if self._client_secret is not None:
            form["client_secret"] = self._client_secret
        status, answer = await self._ask("POST", provider.token, form)
        if status in {400, 401, 403}:
            raise NotAcceptedError("code")
        if status != 200:
            raise ProviderAwayError(f"HTTP {status}")
        return answer

    async def _read(self, provider: Provider, token: str) -> Mapping[str, Any]:
        status, keys = await self._ask("GET", provider.keys)
        if status != 200:
            raise ProviderAwayError(f"HTTP {status}")
        try:
            key_set = KeySet.import_key_set(keys)  # type: ignore[arg-type]  # checked by the library
            found = jwt.decode(
                token,
                key_set,
                algorithms=ALGORITHMS,
                registry=JWSRegistry(algorithms=ALGORITHMS),
            )
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise NotAcceptedError("signature") from error
        return found.claims

    def _check(self, claims: Mapping[str, Any], nonce_hash: str, max_age_s: int) -> None:
        audience = claims.get("aud")
        listed = audience if isinstance(audience, list) else [audience]
        now = self._now()
        nonce = claims.get("nonce")
        expires, signed_in = claims.get("exp"), claims.get("auth_time")
        if claims.get("iss") != self._issuer:
            raise NotAcceptedError("issuer")
        if self._client_id not in listed or (
            (len(listed) > 1 or "azp" in claims) and claims.get("azp") != self._client_id
        ):
            raise NotAcceptedError("audience")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            hashlib.sha256(nonce.encode()).hexdigest(), nonce_hash
        ):
            raise NotAcceptedError("nonce")
        if not _is_time(expires) or expires < now - LEEWAY_S:
            raise NotAcceptedError("expired")
        if not _is_time(claims.get("iat")) or claims["iat"] > now + LEEWAY_S:
            raise NotAcceptedError("issued")
        if not _is_time(signed_in) or not (
            now - max_age_s - LEEWAY_S <= signed_in <= now + LEEWAY_S
        ):
            raise NotAcceptedError("auth_time")
        if self._acr is not None and claims.get("acr") != self._acr:
            raise NotAcceptedError("acr")

    async def _provider(self) -> Provider:
        if self._known is not None and self._known[0] > time.monotonic():
            return self._known[1]
        status, told = await self._ask(
            "GET", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        )
        if status != 200 or told.get("issuer") != self._issuer:
            raise ProviderAwayError("discovery")
        found = Provider(
            authorize=self._endpoint(told, "authorization_endpoint"),
            token=self._endpoint(told, "token_endpoint"),
            keys=self._endpoint(told, "jwks_uri"),
        )
        self._known = (time.monotonic() + REMEMBER_S, found)
        return found

    def _endpoint(self, told: Mapping[str, Any], name: str) -> str:
        url = told.get(name)
        # What an https issuer says never leads to plain http.
        if not isinstance(url, str) or urlsplit(url).scheme != urlsplit(self._issuer).scheme:
            raise ProviderAwayError(name)
        return url

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            async with self._session.request(
                method, url, data=form, timeout=TIMEOUT, allow_redirects=False
            ) as answer:
                body = b""
                async for part in answer.content.iter_any():
                    body += part
                    if len(body) > MAX_ANSWER:
                        raise ProviderAwayError("too much")
                if answer.status != 200:
                    return answer.status, {}
                told = json.loads(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ProviderAwayError(type(error).__name__) from error
        if not isinstance(told, dict):
            raise ProviderAwayError("no object")
        return 200, told


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
