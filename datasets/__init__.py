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
    kitti_masks_procedural,
    mpi3d,
    mpi3d_procedural,
    natural_sprites,
    natural_sprites_procedural,
    nonstationary,
    shapes3d,
    shapes3d_procedural,
    smallnorb,
    synthetic,
    threedident_files,
    threedident_procedural,
)

__all__ = [
    "cars3d",
    "causal3dident",
    "dsprites",
    "kitti_masks",
    "kitti_masks_procedural",
    "mpi3d",
    "mpi3d_procedural",
    "natural_sprites",
    "natural_sprites_procedural",
    "nonstationary",
    "shapes3d",
    "shapes3d_procedural",
    "smallnorb",
    "synthetic",
    "threedident_files",
    "threedident_procedural",
]
