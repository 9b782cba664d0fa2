"""Methods: one file is one method of one paper. Importing this folder registers them."""

from unmix.baselines import align_uniform, contrastive, reference, supervised

__all__ = ["align_uniform", "contrastive", "reference", "supervised"]
