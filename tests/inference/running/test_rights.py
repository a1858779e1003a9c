"""Root becomes the owner of the output folder, others stay who they are."""

import os
from pathlib import Path

import pytest

from inference.running import rights
from inference.running.rights import become_owner


@pytest.fixture
def calls(monkeypatch):
    made = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: made.append((name, value)))
    return made


@pytest.mark.parametrize(
    "user, owner, expected",
    [
        (0, (1000, 100), [("setgroups", []), ("setgid", 100), ("setuid", 1000)]),
        (0, (0, 0), []),
        (1000, (1001, 100), []),
    ],
)
def test_who_becomes_whom(monkeypatch, calls, user, owner, expected):
    """Groups first: afterwards there is no right to change them."""

    class Folder:
        def stat(self):
            return os.stat_result((0o755, 0, 0, 1, *owner, 0, 0, 0, 0))

    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(rights, "_unreadable", lambda paths, owner: "")
    become_owner(Folder())
    assert calls == expected


def test_without_the_capability_nothing_happens(monkeypatch):
    def refused(value):
        raise PermissionError

    class Folder:
        def stat(self):
            return os.stat_result((0o755, 0, 0, 1, 1000, 100, 0, 0, 0, 0))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(rights, "_unreadable", lambda paths, owner: "")
    monkeypatch.setattr(os, "setgroups", refused)
    calls = []
    monkeypatch.setattr(os, "setgid", calls.append)
    monkeypatch.setattr(os, "setuid", calls.append)
    become_owner(Folder())
    assert calls == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_what_the_owner_may_not_read(tmp_path):
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "weights").mkdir()
    owner = os.stat_result((0o755, 0, 0, 1, 1234, 1234, 0, 0, 0, 0))
    assert rights._unreadable([Path("/"), tmp_path / "home" / "weights"], owner) == str(tmp_path / "home" / "weights")
    assert rights._unreadable([Path("/"), Path(os.devnull)], owner) == ""
    assert os.geteuid() == 0


def test_root_stays_root_where_the_owner_could_not_go_on(tmp_path, calls, monkeypatch, caplog):
    """As with a clone below root's home, where each import would fail."""

    class Folder(type(tmp_path)):
        def stat(self):
            return os.stat_result((0o755, 0, 0, 1, 1000, 100, 0, 0, 0, 0))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(rights, "_unreadable", lambda paths, owner: "/root/weights")
    become_owner(Folder(tmp_path))
    assert not calls
    assert f"the owner of {tmp_path} may not read /root/weights" in caplog.text
