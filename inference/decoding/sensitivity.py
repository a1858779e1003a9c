"""How readily something is taken for a cell, in words."""

import math

SENSITIVITIES = {"lowest": -2.0, "low": -1.0, "normal": 0.0, "high": 1.0, "highest": 2.0}


def shifted(threshold: float, sensitivity: float) -> float:
    """A threshold of probabilities for another sensitivity.

    Parameters
    ----------
    threshold : above 0 and below 1
    sensitivity : by how much the threshold's logit sinks, as of `SENSITIVITIES`

    Examples
    --------
    >>> round(shifted(0.5, 1.0), 3), round(shifted(0.5, -1.0), 3), shifted(0.4, 0.0)
    (0.269, 0.731, 0.4)
    """
    if sensitivity == 0:
        return threshold
    return 1 / (1 + (1 - threshold) / threshold * math.exp(sensitivity))
