"""Root becomes the owner of the output folder, others stay who they are."""

import os

import pytest

from inference.rights import become_owner


@pytest.fixture
def calls(monkeypatch):
    made = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, lambda value, name=name: made.append((name, value)))
    return made


@pytest.mark.parametrize("user, owner, expected", [
    (0, (1000, 100), [("setgroups", []), ("setgid", 100), ("setuid", 1000)]),
    (0, (0, 0), []),
    (1000, (1001, 100), []),
])
def test_who_becomes_whom(monkeypatch, calls, user, owner, expected):
    """Groups first: afterwards there is no right to change them."""
    class Folder:
        def stat(self):
            return os.stat_result((0o755, 0, 0, 1, *owner, 0, 0, 0, 0))

    monkeypatch.setattr(os, "geteuid", lambda: user)
    become_owner(Folder())
    assert calls == expected


def test_without_the_capability_nothing_happens(monkeypatch):
    def refused(value):
        raise PermissionError

    class Folder:
        def stat(self):
            return os.stat_result((0o755, 0, 0, 1, 1000, 100, 0, 0, 0, 0))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "setgroups", refused)
    become_owner(Folder())
