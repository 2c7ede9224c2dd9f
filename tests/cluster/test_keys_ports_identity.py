"""Secrets on disk, free ports, and the edge function for identity."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from cluster.config import Settings
from cluster.errors import ConfigError
from cluster.identity import Identity
from cluster.keys import api_key, kept_secret
from cluster.ports import free_ports, free_range, is_free


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    key = api_key(settings)
    assert len(key) >= 32
    assert api_key(settings) == key
    assert stat.S_IMODE((tmp_path / "state" / "api_key").stat().st_mode) == 0o600


@pytest.mark.parametrize("bad", ["short", "with a space", "schlüsselbund"])
def test_a_bad_key_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="api_key"):
        api_key(Settings(api_key=bad))  # type: ignore[arg-type]


def test_an_empty_secret_file_is_an_error_not_an_open_door(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        kept_secret(tmp_path / "k")


def test_a_port_with_a_listener_is_not_free_even_when_it_could_be_shared() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free(taken.getsockname()[1])


def test_connections_of_a_server_that_was_killed_do_not_hold_its_port() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)) as server:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    accepted.close()  # the server's side first: its port lingers
    client.close()
    assert is_free(port)


def test_free_ports_are_different_and_a_range_is_consecutive() -> None:
    assert len(set(free_ports(5))) == 5
    first, last = free_range(16)
    assert last - first == 15


def test_identity_is_the_id_itself_without_a_key() -> None:
    assert Identity().stored("default", "张三/1") == "张三/1"


def test_identity_with_a_key_hides_the_id_and_separates_tenants() -> None:
    identity = Identity(["secret"])
    stored = identity.stored("a", "alice")
    assert stored == identity.stored("a", "alice")
    assert "alice" not in stored and len(stored) == 32
    assert stored != identity.stored("b", "alice")
    assert stored != Identity(["other"]).stored("a", "alice")
