"""Tokens (JWT) of an OpenID Connect issuer: who they let in.

The issuer's public keys are read when first needed, again every `oidc.refresh_s`, and at once for a key that is not
known, but never more often than every `MIN_REFRESH_S`: a flood of invented key ids is no flood of the issuer. When the
issuer cannot be reached the keys that are known go on counting. A token that was verified is remembered for a moment,
so that its signature is not checked for each of its requests.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import httpx
import jwt

from cluster.api_keys import SCOPES, Principal, checked_tenant, parse_limits, principal_of
from cluster.errors import AuthenticationError, ConfigError, InputError, UnavailableError
from cluster.sections import OidcConfig

log = logging.getLogger("tailorbird.access")

MIN_REFRESH_S = 10.0
REMEMBER_S = 60.0
MAX_REMEMBERED = 10_000
MAX_TOKEN_BYTES = 8192
TIMEOUT_S = 5.0


class TokenVerifier:
    """See the module. Belongs to one event loop.

    Args:
        config: the section `oidc`, with an issuer.
        home: the copy's own tenant; a token of it with the scope `admin` is an operator's.
        limits: rates that count for each subject.

    Raises:
        ConfigError: the issuer has no audience, or no address.
    """

    def __init__(self, config: OidcConfig, home: str, limits: list[str]) -> None:
        if not config.issuer or not config.audience:
            raise ConfigError("settings 'oidc.issuer' and 'oidc.audience' are given together")
        self._config = config
        self._home = home
        self._limits = parse_limits(limits)
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_s = -MIN_REFRESH_S
        self._known: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._reading = asyncio.Lock()

    async def verify(self, token: bytes) -> Principal:
        """Whom a token lets in.

        Raises:
            AuthenticationError: it is not a token of the issuer for us, or not any more.
            UnavailableError: the issuer's keys were never read, and cannot be read now.
        """
        digest = hashlib.blake2b(token, digest_size=32).digest()
        until_s, principal = self._known.get(digest, (0.0, None))
        if principal is not None and time.time() < until_s:
            return principal
        if len(token) > MAX_TOKEN_BYTES:
            raise AuthenticationError("the token is too long")
        claims = await self._claims(token)
        principal = self._principal(claims)
        expires_s = float(claims["exp"]) + self._config.leeway_s
        self._known[digest] = (min(expires_s, time.time() + REMEMBER_S), principal)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _claims(self, token: bytes) -> Mapping[str, Any]:
        config = self._config
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(config.algorithms),
                audience=config.audience,
                issuer=config.issuer,
                leeway=config.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise AuthenticationError(f"the token is not valid: {type(error).__name__}") from None
        return claims

    async def _key(self, key_id: str) -> jwt.PyJWK:
        age_s = time.monotonic() - self._read_s
        if age_s > self._config.refresh_s or (key_id not in self._keys and age_s > MIN_REFRESH_S):
            async with self._reading:
                if time.monotonic() - self._read_s > MIN_REFRESH_S:
                    await self._refresh()
        key = self._keys.get(key_id)
        if key is None:
            raise AuthenticationError("the token is signed with a key that the issuer does not have")
        return key

    async def _refresh(self) -> None:
        self._read_s = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                url = self._config.jwks_url or await self._discover(client)
                answer = (await client.get(url)).raise_for_status()
                keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
            log.error("the keys of the issuer %s cannot be read: %r", self._config.issuer, error)
            if not self._keys:
                raise UnavailableError("the issuer's keys cannot be read now") from None
            return
        self._keys = {str(key.key_id or ""): key for key in keys if key.public_key_use in {None, "sig"}}

    async def _discover(self, client: httpx.AsyncClient) -> str:
        issuer = str(self._config.issuer)
        answer = (await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")).raise_for_status()
        document = answer.json()
        if document["issuer"] != issuer:
            raise ValueError(f"it says that it is {document['issuer']!r}")
        return str(document["jwks_uri"])

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        config = self._config
        tenant = claims.get(config.tenant_claim, config.default_tenant)
        if not isinstance(tenant, str) or (config.tenants is not None and tenant not in config.tenants):
            raise AuthenticationError("the token names no tenant that counts here")
        try:
            checked_tenant(tenant)
        except InputError:
            raise AuthenticationError("the token names no tenant that counts here") from None
        raw = claims.get(config.scope_claim, ())
        words = raw.split() if isinstance(raw, str) else raw if isinstance(raw, (list, tuple)) else ()
        prefix = config.scope_prefix
        named = {word[len(prefix) :] for word in words if isinstance(word, str) and word.startswith(prefix)}
        subject = f"jwt:{claims['sub']}"[:200]
        return principal_of(subject, tenant, named.intersection(SCOPES), self._limits, self._home)
