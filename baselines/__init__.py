"""Methods: one file is one method of one paper. Importing this folder registers them."""

from unmix.baselines import (
    ada_gvae,
    align_uniform,
    aninfonce,
    barlow_twins,
    beta_tcvae,
    beta_vae,
    contrastive,
    diet,
    dip_vae,
    factor_vae,
    lejepa,
    pcl,
    reference,
    slow_vae,
    supervised,
    vicreg,
)

__all__ = [
    "ada_gvae",
    "align_uniform",
    "aninfonce",
    "barlow_twins",
    "beta_tcvae",
    "beta_vae",
    "contrastive",
    "diet",
    "dip_vae",
    "factor_vae",
    "lejepa",
    "pcl",
    "reference",
    "slow_vae",
    "supervised",
    "vicreg",
]
