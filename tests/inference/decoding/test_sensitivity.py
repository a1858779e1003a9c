"""Sensitivity in words."""

import pytest

from inference.decoding.sensitivity import SENSITIVITIES, shifted
from inference.kinds import KINDS


def test_thresholds_sink_as_the_sensitivity_rises():
    thresholds = [shifted(0.6, value) for value in SENSITIVITIES.values()]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[2] == 0.6
    assert 0 < thresholds[-1] < 0.2
    assert 0.9 < thresholds[0] < 1


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.93])
def test_up_and_down_again(threshold):
    assert shifted(shifted(threshold, 1.5), -1.5) == pytest.approx(threshold)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_has_a_threshold_that_follows(kind):
    settings = KINDS[kind].Settings()
    changed = [name for name in vars(settings) if getattr(settings.at(1.0), name) != getattr(settings, name)]
    assert len(changed) == 1
    assert getattr(settings.at(1.0), changed[0]) < getattr(settings, changed[0])
    assert settings.at(0.0) == settings
