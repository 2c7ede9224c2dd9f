"""The secrets of a copy: given by settings, or made at first start and kept with mode 0600."""

from __future__ import annotations

import functools
import hashlib
import os
import secrets
from pathlib import Path

from cluster.config import Settings
from cluster.errors import ConfigError

KEY_FILE = "api_key"
RAY_TOKEN_FILE = "ray_token"
_MIN_CHARS = 8
_MIN_SECRET_CHARS = 32


def api_key(settings: Settings) -> str:
    """The bootstrap key.

    Raises:
        ConfigError: the key from the settings is too short to be one.
    """
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value()
        if len(key) < _MIN_CHARS or not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(f"setting 'api_key' must be at least {_MIN_CHARS} printable ASCII characters, no spaces")
        return key
    return kept_secret(settings.state_dir / KEY_FILE)


def copy_secrets(settings: Settings, purpose: str) -> tuple[bytes, ...]:
    """Secrets of 32 bytes for one purpose: the one to use, and while it is being changed the one before.

    Without `secret_key` they come from the bootstrap key, slowly: what is made with them is seen by others, and must
    not help to guess it.

    Raises:
        ConfigError: a secret of the settings is too short.
    """
    masters = [given.get_secret_value() for given in (settings.secret_key, settings.old_secret_key) if given]
    if any(len(master) < _MIN_SECRET_CHARS for master in masters):
        raise ConfigError(f"settings 'secret_key' and 'old_secret_key' have {_MIN_SECRET_CHARS} characters or more")
    if settings.secret_key is None:
        masters.insert(0, _stretched(api_key(settings)))
    return tuple(
        hashlib.blake2b(purpose.encode(), key=hashlib.blake2b(master.encode()).digest(), digest_size=32).digest()
        for master in masters
    )


@functools.lru_cache(maxsize=8)
def _stretched(key: str) -> str:
    salt = b"tailorbird secret key"
    return hashlib.scrypt(key.encode(), salt=salt, n=1 << 15, r=8, p=1, maxmem=1 << 26, dklen=64).hex()


def ray_token_file(settings: Settings) -> Path:
    """The file with the token of this copy's Ray, made when missing."""
    path = (settings.state_dir / RAY_TOKEN_FILE).resolve()
    kept_secret(path)
    return path


def kept_secret(path: Path) -> str:
    """Read the secret of a file, or make one. The file is only ever visible to its owner, also while it is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(32))
    try:
        os.link(draft, path)  # of two copies that start at once the first wins, and both read the same
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read(path)


def _read(path: Path) -> str:
    secret = path.read_text().strip()
    if not secret:
        raise ConfigError(f"the secret file {str(path)!r} is empty: delete it to have a new one made")
    return secret
