"""Methods: one file is one method of one paper. Importing this folder registers them."""

from unmix.baselines import (
    ada_gvae,
    align_uniform,
    beta_tcvae,
    beta_vae,
    contrastive,
    dip_vae,
    factor_vae,
    reference,
    slow_vae,
    supervised,
)

__all__ = [
    "ada_gvae",
    "align_uniform",
    "beta_tcvae",
    "beta_vae",
    "contrastive",
    "dip_vae",
    "factor_vae",
    "reference",
    "slow_vae",
    "supervised",
]
