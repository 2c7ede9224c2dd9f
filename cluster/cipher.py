"""Encryption at rest of what people told: contexts of events, comments, attributes of users.

Optional (`encryption_keys`). A sealed text is `fernet:` and a Fernet token (AES-128-CBC with HMAC-SHA256), under the
first of the keys; every one of them opens. Texts that are not sealed stay readable, so that it can be switched on at
any time; `python -m jobs.rekey` seals what is there already, and what an old key has sealed.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from cluster.config import Settings
from cluster.errors import ConfigError, UnavailableError

_MARK = "fernet:"
_MIN_CHARS = 32


class FieldCipher:
    """Seals and opens texts. Without keys it seals nothing. Safe to share between threads.

    Raises:
        ConfigError: a key is too short.
    """

    def __init__(self, settings: Settings) -> None:
        keys = [key.get_secret_value() for key in settings.encryption_keys]
        if any(len(key) < _MIN_CHARS for key in keys):
            raise ConfigError(f"each of the setting 'encryption_keys' has {_MIN_CHARS} characters or more")
        fernets = [Fernet(_fernet_key(key)) for key in keys]
        self._newest = fernets[0] if fernets else None
        self._all = MultiFernet(fernets) if fernets else None

    @property
    def is_on(self) -> bool:
        """Whether texts are sealed."""
        return self._newest is not None

    def seal(self, text: str) -> str:
        """The text as it is stored."""
        return text if self._newest is None else _MARK + self._newest.encrypt(text.encode()).decode("ascii")

    def open(self, stored: str) -> str:
        """The text of what is stored.

        Raises:
            UnavailableError: it is sealed with a key that is not among the settings'.
        """
        if not stored.startswith(_MARK):
            return stored
        if self._all is None:
            raise UnavailableError("a stored text is encrypted, and the setting 'encryption_keys' is empty")
        try:
            return self._all.decrypt(stored[len(_MARK) :]).decode()
        except InvalidToken:
            raise UnavailableError("a stored text is encrypted with a key that 'encryption_keys' lacks") from None

    def is_current(self, stored: str) -> bool:
        """Whether a stored text is as `seal` would store it now."""
        if self._newest is None or not stored.startswith(_MARK):
            return self._newest is None and not stored.startswith(_MARK)
        try:
            self._newest.decrypt(stored[len(_MARK) :])
        except InvalidToken:
            return False
        return True


def _fernet_key(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.blake2b(key.encode(), digest_size=32, person=b"tb-fields").digest())
