"""Which of our variants mirrors which published implementation, and where those are wrong. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from unmix.factors import FactorType


@dataclass(frozen=True)
class Mirror:
    """Our counterpart of one value of a reference.

    Args:
        variant: Registered name; "" where there is none on purpose.
        detail: Name in the score's details (its mean over entries) in place of the score.
        rows: The training rows alone, or these and then all others ("all") or the first or second half of the
            others ("validation", "test"): as `split="ordered"` with `train` set takes them.
        types: Of the factors of discrete cases; those of continuous cases are continuous.
        settings: Beside the variant's own.
        hyper: The reference's hyperparameters that a case sets -> our settings.
        cut: Cut continuous factors into so many bins first, training and test rows each on their own, and
            call them `types`.
        seeds: The value is the mean over so many.
        slow: Patterns of the cases that are left to slow runs.
        reason: Why there is no counterpart.
    """

    variant: str = ""
    detail: str | None = None
    rows: Literal["train", "all", "validation", "test"] = "train"
    types: FactorType = "ordinal"
    settings: Mapping[str, Any] = field(default_factory=dict)
    hyper: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    seeds: int = 1
    slow: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Deviation:
    """A set of values, by shell patterns, where a reference is wrong or another version rounds, and why.

    Args:
        metric, implementation, case, key: Patterns.
        reason: In words.
        within: The largest difference that the reason explains.
    """

    metric: str
    reason: str
    within: float = float("inf")
    implementation: str = "*"
    case: str = "*"
    key: str = "*"

    def covers(self, case: str, metric: str, implementation: str, key: str, difference: float) -> bool:
        """Whether it explains a difference."""
        patterns = {case: self.case, metric: self.metric, implementation: self.implementation, key: self.key}
        matches = (fnmatchcase(name, pattern.replace("[", "[[]")) for name, pattern in patterns.items())
        return abs(difference) <= self.within and all(matches)


Key = tuple[str, str]
_HELD_OUT: dict[str, Any] = {"rows": "all", "settings": {"split": "ordered"}}


def _cl_ica() -> dict[Key, dict[str, Mirror]]:
    linear = {
        "linear_r2": "r2(in_sample)",
        "linear_r2[split]": "r2(ordered)",
        "linear_adjusted_r2": "r2(adjusted)",
        "linear_adjusted_r2[split]": "r2(ordered,adjusted)",
        "linear_pearson": "mcc(linear,in_sample)",
        "linear_pearson[split]": "mcc(linear,ordered)",
        "linear_spearman": "mcc(linear,spearman,in_sample)",
        "linear_spearman[split]": "mcc(linear,spearman,ordered)",
    }
    matched = {"pearson": "mcc", "spearman": "mcc(spearman)"}
    found = dict(linear)
    for mode, variant in matched.items():
        for rescaling in (False, True):
            found[f"permutation_{mode}_munkres[rescaling={rescaling}]"] = variant
            found[f"permutation_{mode}_naive[rescaling={rescaling},sign_flips=True]"] = variant
    for signs, name in ((True, "r2(permuted)"), (False, "r2(permuted,unsigned)")):
        found[f"permutation_r2_naive[rescaling=False,sign_flips={signs}]"] = name
        found[f"permutation_r2_naive[rescaling=True,sign_flips={signs}]"] = "r2(permuted,rescaled)"
    found["permutation_adjusted_r2_naive[rescaling=False,sign_flips=True]"] = "r2(permuted,adjusted)"
    found["permutation_adjusted_r2_naive[rescaling=True,sign_flips=True]"] = "r2(permuted,rescaled,adjusted)"
    return {(metric, "cl-ica"): {"score": Mirror(variant)} for metric, variant in found.items()}


def _mcc() -> dict[Key, dict[str, Mirror]]:
    return {
        (f"mcc_{correlation}", library): {"meanabscorr": Mirror(variant, seeds=10)}
        for correlation, variant in (("pearson", "mcc(padded)"), ("spearman", "mcc(spearman,padded)"))
        for library in ("cl-ica", "slow_disentanglement")
    }


def _information() -> dict[Key, dict[str, Mirror]]:
    """MIG and its family, modularity: counted on the training rows."""
    names = {
        ("mig", "dlib", "discrete_mig"): "mig",
        ("mig[factors_hist20]", "dlib", "discrete_mig"): "mig",
        ("mig", "disent", "mig.discrete_score"): "mig",
        ("mig", "correlated_factors", "score"): "mig(bin_factors)",
        ("mig", "ubisoft", "score"): "mig(bins=10,normaliser=code)",
        ("mig[bins=20]", "ubisoft", "score"): "mig(normaliser=code)",
        ("mig_sup", "ubisoft", "score"): "mig_sup(bins=10)",
        ("jemmig", "ubisoft", "score"): "jemmig(bins=10)",
        ("dcimig", "ubisoft", "score"): "dcimig(bins=10)",
        ("modularity", "ubisoft", "score"): "modularity(bins=10)",
        ("modularity", "correlated_factors", "score"): "modularity(bin_factors)",
    }
    return {(metric, library): {key: Mirror(variant)} for (metric, library, key), variant in names.items()}


def _prediction() -> dict[Key, dict[str, Mirror]]:
    both = {
        "modularity_score": Mirror("modularity", cut=20),
        "explicitness_score_train": Mirror("explicitness(in_sample)", cut=20),
        "explicitness_score_test": Mirror("explicitness", cut=20, **_HELD_OUT),
    }
    return {
        ("modularity_explicitness", "dlib"): both,
        ("modularity_explicitness[factors_hist20]", "dlib"): both,
        ("explicitness", "ubisoft"): {"score": Mirror("explicitness(one_vs_rest,in_sample)")},
        ("sap_continuous", "dlib"): {"SAP_score": Mirror("sap(correlation)")},
        ("sap_continuous", "disent"): {"sap.score": Mirror("sap(correlation)")},
        ("sap_regression", "ubisoft"): {"score": Mirror("sap(correlation)")},
        ("sap_discrete", "dlib"): {"SAP_score": Mirror("sap", **_HELD_OUT)},
        ("sap_discrete", "disent"): {"sap.score": Mirror("sap", **_HELD_OUT)},
        ("sap_discrete", "correlated_factors"): {"score": Mirror("sap(bins=20)", rows="all", seeds=5)},
        ("sap_classification", "ubisoft"): {"score": Mirror("sap(tree)", slow=("*",))},
    }


def _unsupervised() -> dict[Key, dict[str, Mirror]]:
    dlib = {
        "gaussian_total_correlation": "gaussian_total_correlation",
        "gaussian_wasserstein_correlation": "gaussian_wasserstein_correlation",
        "gaussian_wasserstein_correlation_norm": "gaussian_wasserstein_correlation(normalised)",
        "mutual_info_score": "mutual_information_score",
    }
    disent = (
        "unsup.gauss_total_corr",
        "unsup.gauss_wasser_corr",
        "unsup.gauss_wasser_corr_norm",
        "unsup.mi_score",
    )
    return {
        ("unsupervised", "dlib"): {key: Mirror(variant) for key, variant in dlib.items()},
        ("unsupervised", "disent"): {key: Mirror(variant) for key, variant in zip(disent, dlib.values(), strict=True)},
    }


def _intervention() -> dict[Key, dict[str, Mirror]]:
    sum_of_codes = Mirror(reason="the sum of the code values, not a count (notes.md, item 6)")
    all_codes = Mirror(reason="the number of all codes, not of active ones (notes.md, item 6)")
    votes = {"batch_size": "batch", "num_train": "train", "num_eval": "test"}
    pruned = {**votes, "prune_threshold": "threshold"}
    array = {"batch_size": "batch", "nb_training": "train", "nb_eval": "test"}
    found: dict[Key, dict[str, Mirror]] = {}
    for q, suffix in (("0.99", ""), ("1", "q=1")):
        binned = f"irs(binned{',' * bool(suffix)}{suffix})"
        ten = f"irs(bins=10{',' * bool(suffix)}{suffix})"
        found[f"irs[q={q}]", "dlib"] = {"IRS": Mirror(binned, seeds=5), "num_active_dims": sum_of_codes}
        found[f"irs[q={q}]", "ubisoft"] = {"score": Mirror(ten)}
    for library, prefix in (("dlib", ""), ("disent", "factor_vae.")):
        found["factor_vae", library] = {
            f"{prefix}train_accuracy": Mirror("factor_vae", detail="train_accuracy", hyper=pruned, seeds=5),
            f"{prefix}eval_accuracy": Mirror("factor_vae", detail="test_accuracy", hyper=pruned, seeds=5),
            f"{prefix}num_active_dims": all_codes,
        }
    found["beta_vae", "dlib"] = {
        "train_accuracy": Mirror("beta_vae", detail="train_accuracy", hyper=votes, seeds=3),
        "eval_accuracy": Mirror("beta_vae", detail="test_accuracy", hyper=votes, seeds=3),
    }
    for name in ("z_diff", "z_min_var", "z_max_var"):
        found[name, "ubisoft"] = {"score": Mirror(name, hyper=array, seeds=3)}
    return found


_SLOW_TREES = ("*__big", "c_*", "*_wide*", "d_mixed*", "d_noise*", "d_dead*", "d_corr*", "d_monotone*", "d_over*")


def _dci() -> dict[Key, dict[str, Mirror]]:
    """Disentanglement, completeness and informativeness of one fit stand in the details of `dci`."""

    def ordered(
        detail: str, variant: str, rows: Any = "all", seeds: int = 1, slow: tuple[str, ...] = _SLOW_TREES
    ) -> Mirror:
        return Mirror(
            variant,
            detail,
            rows,
            settings={"split": "ordered"},
            hyper={"num_train": "train"},
            seeds=seeds,
            slow=slow,
        )

    exact, errors = "dci(gbt,exact)", Mirror(reason="one minus the accuracy that stands beside it")
    parts = {
        "disentanglement": "disentanglement",
        "completeness": "completeness",
        "informativeness_train": "informativeness_fitted",
        "informativeness_test": "informativeness",
    }
    gbt = {key: ordered(detail, exact) for key, detail in parts.items()}
    random = {
        key: Mirror(exact, detail, "all", seeds=3, slow=("*",))
        for key, detail in (("disentanglement", "disentanglement"), ("completeness", "completeness"))
    }
    for part, detail in (("train", "informativeness_fitted"), ("test", "informativeness")):
        random[f"informativeness_{part}_scores"] = Mirror(exact, detail, "all", seeds=3, slow=("*",))
        random[f"informativeness_{part}_errors"] = errors
    found = {
        ("dci_gbt", "dlib"): gbt,
        ("dci_gbt", "disent"): {f"dci.{key}": mirror for key, mirror in gbt.items()},
        ("dci_gbt", "correlated_factors"): random,
        ("dci_lasso", "ubisoft"): {
            "disentanglement": Mirror("dci(lasso,in_sample)"),
            "completeness": Mirror("dci_completeness(lasso,in_sample)"),
            "informativeness": Mirror("dci_informativeness(lasso,in_sample)"),
        },
        ("dci_rf", "ubisoft"): dict.fromkeys(
            ("disentanglement", "completeness", "informativeness"),
            Mirror(reason="one seed, no tolerance: 10 trees tuned over 20 settings by 10 folds are left out"),
        ),
        ("dci_forest", "correlated_factors"): {"": Mirror(reason="cannot run (notes.md, item 8)")},
    }
    of_forests = {
        # What the fit alone decides is the same whichever rows are held.
        **{key: (detail, "validation") for key, detail in list(parts.items())[:3]},
        "informativeness_val": ("informativeness", "validation"),
        "informativeness_test": ("informativeness", "test"),
    }
    for depth, variant, slow in (("8", "dci(forest,depth=8)", _SLOW_TREES), ("None", "dci(forest)", ("*",))):
        found[f"dci_rf[depth={depth}]", "dci_es"] = {
            key: ordered(detail, variant, rows, seeds=3, slow=slow) for key, (detail, rows) in of_forests.items()
        }
    return found


def _capacity() -> dict[Key, dict[str, Mirror]]:
    def forest(detail: str | None) -> Mirror:
        settings = {"split": "ordered"}
        hyper = {"num_train": "train"}
        # It validates on the first half of the other rows and scores the second.
        return Mirror("dci_explicitness(forest)", detail, "test", settings=settings, hyper=hyper, seeds=3, slow=("*",))

    return {
        ("dci_es_explicitness_rf", "dci_es"): {
            "explicitness": forest(None),
            "best_informativeness": forest("informativeness"),
        }
    }


def _med() -> dict[Key, dict[str, Mirror]]:
    held: dict[str, Any] = {"rows": "all", "settings": {"split": "ordered"}}
    both = {
        "disentanglement": Mirror("med", cut=20),
        "completeness": Mirror("med_completeness", cut=20),
        "top1_disentanglement": Mirror("med(top=1)", cut=20),
        "top1_completeness": Mirror("med_completeness(top=1)", cut=20),
        "informativeness_train": Mirror("med_informativeness(in_sample)", cut=20),
        "informativeness_test": Mirror("med_informativeness", cut=20, **held),
    }
    return {("med", "dlib_med"): both, ("med[factors_hist20]", "dlib_med"): both}


def _infomec() -> dict[Key, dict[str, Mirror]]:
    return {
        ("infomec", "latent_quantization"): {
            "infom": Mirror("infom", seeds=3),
            "infoc": Mirror("infoc", seeds=3),
            "infoe": Mirror("infoe(in_sample)"),
        },
        ("infomec_discrete_latents", "latent_quantization"): {
            "infom": Mirror("infom(levels)"),
            "infoc": Mirror("infoc(levels)"),
            "infoe": Mirror("infoe(levels,in_sample)"),
        },
    }


MIRRORS: Mapping[Key, Mapping[str, Mirror]] = {
    **_cl_ica(),
    **_mcc(),
    **_information(),
    **_prediction(),
    **_unsupervised(),
    **_intervention(),
    **_dci(),
    **_infomec(),
    **_med(),
    **_capacity(),
}

_OTHER_THAN_FACTORS = ("c_narrow*", "d_merged*", "d_noise*", "*_wide*")
_LEVELS = ("d_*", "dsprites_*", "shapes3d_*")

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        "permutation_*[rescaling=True*",
        "cl-ica ignores the permutation when it rescales: every candidate gets one score (notes.md, item 1)",
    ),
    *(
        Deviation(
            "linear_adjusted_r2*",
            "cl-ica counts factors as the predictors; it is the codes that predict",
            case=case,
        )
        for case in _OTHER_THAN_FACTORS
    ),
    *(
        Deviation(
            "linear_spearman*",
            "predictions of one level differ by rounding, and cl-ica ranks that noise; we tie them",
            case=case,
        )
        for case in _LEVELS
    ),
    Deviation(
        "factor_vae",
        "disent prunes nothing: a constant code gives 0/0 and wins every vote (notes.md, item 7)",
        implementation="disent*",
        case="sampler_gen_dead*",
    ),
    Deviation(
        "unsupervised",
        "the covariance of an exact copy is singular: infinite, not what rounding leaves (notes.md, item 9)",
        case="*overcomplete_dup*",
        key="*total_corr*",
    ),
    Deviation(
        "dci_lasso",
        "the review's code stops at the first code without importance (notes.md, item 3)",
        case="d_dead_first*",
        key="disentanglement",
    ),
    Deviation(
        "infomec",
        "the estimator's jitter moves a neighbour with some seeds; the reference was run with two",
        within=1e-5,
        case="d_wide*",
        key="infoc",
    ),
    Deviation(
        "explicitness",
        "the logistic regression of scikit-learn 0.23 stops elsewhere: up to 1e-4 (notes.md, section 3)",
        within=1e-4,
    ),
    Deviation(
        "sap_discrete",
        "the linear SVM of scikit-learn 1.2 puts one row elsewhere (notes.md, section 3)",
        within=2e-4 + 1e-9,
        implementation="disent*",
    ),
    Deviation(
        "sap_discrete",
        "perfect levels lie on the edges of bins: scaling to [0, 1] first rounds them to either side",
        implementation="correlated_factors*",
        case="d_perfect*",
    ),
)

# Outside of the tolerance, and not explained for certain. Each is a debt: explain it or repair it.
OPEN: tuple[Deviation, ...] = (
    Deviation(
        "dci_rf[depth=8]",
        "accuracy of the factor that shares a code: six seeds of ours have a mean of 0.962 (validation) and 0.965 "
        "(test) with a spread of 0.003, twice that of the oracle's three; trees of at most 200 leaves would have "
        "0.964 and 0.971, but on d_mixed the reference's unlimited trees are not cut so",
        within=0.015,
        case="d_merged__small",
        key="informativeness_*",
    ),
)
