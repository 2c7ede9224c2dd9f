"""Tokens of an issuer: a real one in this process, over HTTP, with RSA keys that it changes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from cluster import oidc
from cluster.errors import AuthenticationError, ConfigError, UnavailableError
from cluster.oidc import TokenVerifier
from cluster.sections import OidcConfig

AUDIENCE = "tailorbird"


class Issuer:
    """Publishes its configuration and its public keys, and signs tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.asked: list[str] = []
        self.is_broken = False
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                body = json.dumps(issuer.document(self.path)).encode()
                self.send_response(503 if issuer.is_broken else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.new_key("k1")

    def new_key(self, key_id: str) -> None:
        self.keys[key_id] = rsa.generate_private_key(65537, 2048)

    def document(self, path: str) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        named = {"use": "sig", "alg": "RS256"}
        public = {key_id: RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) for key_id, key in self.keys.items()}
        return {"keys": [{**key, **named, "kid": key_id} for key_id, key in public.items()]}

    def token(self, key_id: str = "k1", *, without: str = "", key: Any = None, **claims: Any) -> bytes:
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": now + 60, "tenant": "acme"}
        whole |= {"scope": "openid read"}
        whole |= claims
        whole.pop(without, None)
        return jwt.encode(whole, key or self.keys[key_id], "RS256", headers={"kid": key_id}).encode()

    def verifier(self, **settings: Any) -> TokenVerifier:
        return TokenVerifier(OidcConfig(issuer=self.url, audience=AUDIENCE, **settings), "default", ["5/minute"])


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


async def test_a_token_says_who_may_do_what_for_whom(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    principal = await verifier.verify(issuer.token())
    assert (principal.subject, principal.tenant, principal.scopes) == ("jwt:ann", "acme", frozenset({"read"}))
    assert not principal.is_operator and [str(limit) for limit in principal.limits] == ["5 per 1 minute"]
    operator = await verifier.verify(issuer.token(tenant="default", scope=["admin", "write", "root"]))
    assert operator.is_operator and operator.scopes == {"admin", "write"}
    assert not (await verifier.verify(issuer.token(tenant="default", scope=3))).scopes
    prefixed = issuer.verifier(scope_prefix="tb:", scope_claim="scp")
    assert (await prefixed.verify(issuer.token(scp=["tb:write", "read"]))).scopes == {"write"}


async def test_the_issuer_is_asked_once_and_not_for_every_token(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    for number in range(20):
        await verifier.verify(issuer.token(sub=f"u{number}"))
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    direct = issuer.verifier(jwks_url=f"{issuer.url}/keys")
    await direct.verify(issuer.token())
    assert issuer.asked[2:] == ["/keys"]


async def test_keys_that_the_issuer_changes_are_found_and_unknown_ones_are_no_flood(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.new_key("k2")
    with pytest.raises(AuthenticationError):  # asked for a moment ago
        await verifier.verify(issuer.token("k2"))
    monkeypatch.setattr(oidc, "MIN_REFRESH_S", 0.0)
    assert (await verifier.verify(issuer.token("k2"))).subject == "jwt:ann"
    monkeypatch.undo()
    asked = len(issuer.asked)
    for number in range(50):
        with pytest.raises(AuthenticationError):
            await verifier.verify(issuer.token(key=rsa_key()) + b"x" * (number % 2))
        with pytest.raises(AuthenticationError):
            invented = jwt.encode({"sub": "x"}, rsa_key(), "RS256", headers={"kid": f"no-{number}"})
            await verifier.verify(invented.encode())
    assert len(issuer.asked) == asked


_RSA: list[rsa.RSAPrivateKey] = []


def rsa_key() -> rsa.RSAPrivateKey:
    """A key that is not the issuer's."""
    if not _RSA:
        _RSA.append(rsa.generate_private_key(65537, 2048))
    return _RSA[0]


async def test_an_issuer_that_is_away_takes_nobody_out_who_is_known(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "MIN_REFRESH_S", 0.0)
    verifier, late = issuer.verifier(refresh_s=0.001), issuer.verifier()
    await verifier.verify(issuer.token())
    issuer.is_broken = True
    assert (await verifier.verify(issuer.token(sub="bob"))).subject == "jwt:bob"
    with pytest.raises(UnavailableError):
        await late.verify(issuer.token())
    issuer.is_broken = False
    await late.verify(issuer.token())


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"nbf": 1 << 40},
        {"aud": "another"},
        {"iss": "https://evil.example"},
        {"without": "exp"},
        {"without": "sub"},
        {"without": "aud"},
        {"without": "tenant"},
        {"tenant": "../x"},
        {"tenant": 7},
        {"tenant": "Acme"},
        {"key": rsa_key()},
    ],
)
async def test_a_token_that_is_not_for_us_opens_nothing(issuer: Issuer, claims: dict[str, Any]) -> None:
    verifier = issuer.verifier(leeway_s=0)
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await verifier.verify(issuer.token(**claims))


async def test_only_signatures_with_a_public_key_count(issuer: Issuer) -> None:
    verifier = issuer.verifier()
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.document("/keys")["keys"][0]["n"]
    forged = [
        jwt.encode(claims, None, "none", headers={"kid": "k1"}),
        jwt.encode(claims, public.encode(), "HS256", headers={"kid": "k1"}),
        jwt.encode(claims, "x" * 32, "HS256", headers={"kid": "k1"}),
        issuer.token().decode()[:-4] + "AAAA",
        "a.b.c",
        "..",
        "é.é.é",
        "x" * 9000 + "..",
    ]
    for token in forged:
        with pytest.raises(AuthenticationError):
            await verifier.verify(token.encode())


async def test_a_token_is_over_when_it_says_so_also_when_it_was_seen_before(issuer: Issuer) -> None:
    verifier = issuer.verifier(leeway_s=0)
    token = issuer.token(exp=int(time.time()) + 1)
    await verifier.verify(token)
    await asyncio.sleep(1.1)
    with pytest.raises(AuthenticationError):
        await verifier.verify(token)


async def test_tenants_can_be_named_or_given(issuer: Issuer) -> None:
    assert (await issuer.verifier(default_tenant="acme").verify(issuer.token(without="tenant"))).tenant == "acme"
    only = issuer.verifier(tenants=["other"])
    with pytest.raises(AuthenticationError):
        await only.verify(issuer.token())
    assert (await only.verify(issuer.token(tenant="other"))).tenant == "other"


def test_an_issuer_needs_an_audience() -> None:
    with pytest.raises(ConfigError, match="audience"):
        TokenVerifier(OidcConfig(issuer="https://issuer.example"), "default", [])
