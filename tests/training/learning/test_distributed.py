"""training.learning.distributed: a process alone, and one whose partners are gone; test_train.py trains with two."""

import pytest
import torch

from training.learning import distributed
from training.learning.distributed import ProcessLost, Team

CPU = torch.device("cpu")


@pytest.fixture
def alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    return Team(CPU)


@pytest.fixture
def second(monkeypatch):
    """The second of two processes, whose group is taken down in `ended`."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    team = Team(CPU)
    team.ended = []
    monkeypatch.setattr(distributed.distributed, "destroy_process_group", lambda: team.ended.append(True))
    return team


def test_a_process_alone_agrees_with_itself(alone):
    with alone as team:
        assert team.leads
        assert team.agree(1.5, 2.0, stop=True) == (1.5, 2.0, True)
        assert team.gather((1, 2)) == [1, 2]
        assert team.gather(None) is None
        assert team.same(7)
        model = torch.nn.Linear(1, 1)
        assert team.share(model) is model


def test_the_second_process_does_not_lead(second):
    assert (second.rank, second.size) == (1, 2)
    assert not second.leads


@pytest.mark.parametrize(
    "said",
    ["Connection closed by peer [127.0.0.1]:1", "NCCL: remote process exited", "Broken pipe", "Timed out waiting"],
)
def test_a_partner_that_is_gone_is_named(second, said):
    """The group is left as it is: taking it down would wait for the other."""
    with pytest.raises(ProcessLost, match="process 1 of 2: another process of this training has ended"):
        second.__exit__(RuntimeError, RuntimeError(said), None)
    assert second.ended == []


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("connection closed")])
def test_an_error_of_our_own_is_no_lost_partner(second, error):
    assert second.__exit__(type(error), error, None) is None
    assert second.ended == [True]


def test_a_partner_that_is_gone_at_the_end(second, monkeypatch):
    def barrier():
        raise RuntimeError("Connection reset by peer")

    monkeypatch.setattr(distributed.distributed, "barrier", barrier)
    with pytest.raises(ProcessLost):
        second.__exit__(None, None, None)
