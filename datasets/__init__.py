"""Observations with known factors. Importing it registers every dataset of the suite."""

if __name__ != "unmix.datasets":
    raise ImportError(
        f"this folder was imported as {__name__!r}: it is unmix's, and its name is `unmix.datasets`. "
        "If you meant Hugging Face's `datasets`, start Python outside of unmix's checkout."
    )

from unmix.datasets import (
    cars3d,
    causal3dident,
    dsprites,
    kitti_masks,
    mpi3d,
    natural_sprites,
    shapes3d,
    smallnorb,
    synthetic,
    threedident_files,
)

__all__ = [
    "cars3d",
    "causal3dident",
    "dsprites",
    "kitti_masks",
    "mpi3d",
    "natural_sprites",
    "shapes3d",
    "smallnorb",
    "synthetic",
    "threedident_files",
]
