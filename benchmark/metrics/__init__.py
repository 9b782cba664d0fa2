"""Metrics: codes (n, d) and factors (n, k) -> scores, in scikit-learn's order (y_true, y_pred).

Every variant is registered under its full name in `unmix.METRICS`; the functions are here for direct use.
"""

from unmix.metrics.capacity import dci_explicitness
from unmix.metrics.circular import mcc_circular
from unmix.metrics.contract import InputError, Metric, Score, check, metric
from unmix.metrics.correlation import mcc, mcc_cca, mcc_held_out, mcc_linear
from unmix.metrics.floor import Floor, noise_floor
from unmix.metrics.importance import dci, dci_completeness, dci_informativeness
from unmix.metrics.infomec import infoc, infoe, infom
from unmix.metrics.information import dcimig, jemmig, mig, mig_neighbours, mig_sup, modularity
from unmix.metrics.information_shares import med, med_completeness, med_informativeness
from unmix.metrics.intervention import beta_vae, factor_vae, irs
from unmix.metrics.prediction import explicitness, sap, sap_correlation
from unmix.metrics.regression import block_identifiability, r2, r2_permuted
from unmix.metrics.sources import Grid, Rows
from unmix.metrics.unsupervised import (
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    mutual_information_score,
)

__all__ = [
    "Floor",
    "Grid",
    "InputError",
    "Metric",
    "Rows",
    "Score",
    "beta_vae",
    "block_identifiability",
    "check",
    "dci",
    "dci_completeness",
    "dci_explicitness",
    "dci_informativeness",
    "dcimig",
    "explicitness",
    "factor_vae",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "infoc",
    "infoe",
    "infom",
    "irs",
    "jemmig",
    "mcc",
    "mcc_cca",
    "mcc_circular",
    "mcc_held_out",
    "mcc_linear",
    "med",
    "med_completeness",
    "med_informativeness",
    "metric",
    "mig",
    "mig_neighbours",
    "mig_sup",
    "modularity",
    "mutual_information_score",
    "noise_floor",
    "r2",
    "r2_permuted",
    "sap",
    "sap_correlation",
]
