"""Methods: one file is one method of one paper. Importing this folder registers them."""

from unmix.baselines import reference, supervised
