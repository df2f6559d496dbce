import re
from pathlib import Path

import pytest

from lakehouse.errors import ConfigurationError, DataError
from serving.keys import LOOK_SECONDS, KeyRing, add_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets/keys.json"


def test_a_key_is_found_by_its_text_which_is_kept_nowhere(path: Path) -> None:
    key, token = add_key(path, "web", ["events", "read"], created="2024-03-02")
    assert re.fullmatch(r"topshelf_[0-9a-f]{8}_[\w-]{43}", token)
    assert (key.name, key.scopes, key.created) == ("web", ("read", "events"), "2024-03-02")
    ring = KeyRing(path)
    assert ring.find(token) == key
    assert read_keys(path) == (key,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert token.rpartition("_")[2] not in path.read_text()


def test_any_other_text_is_no_key(path: Path) -> None:
    _, token = add_key(path, "web", ["read"], created="2024-03-02")
    _, other = add_key(path, "app", ["read"], created="2024-03-02")
    ring = KeyRing(path)
    mixed = other[:18] + token[18:]
    for text in ("", token[:-1], token + "x", token.upper(), mixed, f" {token}", token + "\n"):
        assert ring.find(text) is None


def test_a_server_sees_new_and_revoked_keys_within_a_second(path: Path) -> None:
    key, token = add_key(path, "web", ["read"], created="2024-03-02")
    now = [0.0]
    ring = KeyRing(path, clock=lambda: now[0])
    assert revoke_key(path, key.id) == key
    _, new = add_key(path, "app", ["read"], created="2024-03-02")
    assert ring.find(token) is not None
    now[0] += LOOK_SECONDS + 0.1
    assert ring.find(token) is None
    assert ring.find(new) is not None
    # A file that others may read, or that is damaged or gone, leaves no key.
    path.chmod(0o640)
    now[0] += LOOK_SECONDS + 0.1
    assert ring.find(new) is None


def test_a_file_that_cannot_be_read_leaves_no_key_until_it_can(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, token = add_key(path, "web", ["read"], created="2024-03-02")
    now = [0.0]
    ring = KeyRing(path, clock=lambda: now[0])
    kept = path.rename(path.with_name("kept"))
    # Unreadable even for root.
    path.mkdir(mode=0o700)
    for _ in range(3):
        now[0] += LOOK_SECONDS + 0.1
        assert ring.find(token) is None
    assert [record.getMessage() for record in caplog.records] == [
        f"no API key is taken: {path} cannot be read: Is a directory. Mend its permissions "
        f"(`chmod 600 {path}`)."
    ]
    path.rmdir()
    kept.rename(path)
    now[0] += LOOK_SECONDS + 0.1
    assert ring.find(token) is not None


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    add_key(path, "web", ["read"], created="2024-03-02")
    path.chmod(0o604)
    with pytest.raises(ConfigurationError, match=r"may be read by others \(mode 604\). `chmod 600"):
        read_keys(path)


def test_a_damaged_file_is_refused(path: Path) -> None:
    add_key(path, "web", ["read"], created="2024-03-02")
    path.write_text(path.read_text().replace("web", "wep"))
    with pytest.raises(DataError, match="is damaged"):
        read_keys(path)


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["read"]), ("x" * 61, ["read"]), ("a\nb", ["read"]), ("web", [])]
)
def test_a_key_needs_a_name_and_scopes(path: Path, name: str, scopes: list[str]) -> None:
    with pytest.raises(ConfigurationError):
        add_key(path, name, scopes, created="2024-03-02")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="among read, events, admin"):
        add_key(path, "web", ["write"], created="2024-03-02")  # type: ignore[list-item]
    assert read_keys(path) == ()


def test_revoking_what_is_not_there_says_so(path: Path) -> None:
    add_key(path, "web", ["read"], created="2024-03-02")
    with pytest.raises(ConfigurationError, match="has no key '0'; `topshelf keys list`"):
        revoke_key(path, "0")
