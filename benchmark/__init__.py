"""unmix: the benchmark suite for disentanglement and identifiability.

`DATASETS[d]` -> pairs -> `METHODS[m].fit` -> encoder -> codes and factors -> `METRICS` -> `Record` -> table.
Importing this package is light: the registries import their folders (and torch) at the first look-up.
"""

from importlib.metadata import version

from unmix.registry import DATASETS, METHODS, METRICS

__all__ = ["DATASETS", "METHODS", "METRICS", "__version__"]
__version__ = version("unmix")
