"""Metrics: codes (n, d) and factors (n, k) -> scores, in scikit-learn's order (y_true, y_pred).

Every variant is registered under its full name in `unmix.METRICS`; the functions are here for direct use.
"""

from unmix.metrics.contract import InputError, Metric, Score, check, metric
from unmix.metrics.correlation import mcc, mcc_cca, mcc_circular, mcc_held_out, mcc_linear
from unmix.metrics.floor import Floor, noise_floor
from unmix.metrics.regression import block_identifiability, r2

__all__ = [
    "Floor",
    "InputError",
    "Metric",
    "Score",
    "block_identifiability",
    "check",
    "mcc",
    "mcc_cca",
    "mcc_circular",
    "mcc_held_out",
    "mcc_linear",
    "metric",
    "noise_floor",
    "r2",
]
