"""Observations with known factors. Importing it registers every dataset of the suite."""

if __name__ != "unmix.datasets":
    raise ImportError(
        f"this folder was imported as {__name__!r}: it is unmix's, and its name is `unmix.datasets`. "
        "If you meant Hugging Face's `datasets`, start Python outside of unmix's checkout."
    )

from unmix.datasets import dsprites, synthetic

__all__ = ["dsprites", "synthetic"]
