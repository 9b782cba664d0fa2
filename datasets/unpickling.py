"""Pickles from strangers: arrays, lists and numbers are admitted, code is not."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from unmix.datasets.download import DamagedFileError
from unmix.datasets.stored import reading


def _latin(text: str, encoding: str) -> bytes:
    """How Python 2's pickles make bytes; any other codec is refused."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the codec {encoding}")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin,
}
for _core in ("numpy.core", "numpy._core"):
    ADMITTED[f"{_core}.multiarray", "_reconstruct"] = np.empty(0).__reduce__()[0]
    ADMITTED[f"{_core}.multiarray", "scalar"] = np.float64(0).__reduce__()[0]
    ADMITTED[f"{_core}.numeric", "_frombuffer"] = np.empty(0).__reduce_ex__(5)[0]


class _Arrays(pickle.Unpickler):
    """Knows no name but those that NumPy's arrays and numbers are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return ADMITTED[module, name]


def arrays(path: Path) -> Any:
    """What a pickle holds, if that is made of NumPy arrays, numbers, texts, lists, tuples and dictionaries.

    Raises:
        DamagedFileError: It asks for anything else, which could be code, or is damaged.
    """
    content = path.read_bytes()
    with reading(path):
        try:
            return _Arrays(io.BytesIO(content), encoding="latin1").load()
        except pickle.UnpicklingError as error:
            raise DamagedFileError(
                f"{path} asks for {error}, and only arrays are unpickled: this is not the published file, delete it"
            ) from error
        except (AttributeError, IndexError, TypeError, MemoryError) as error:  # how a damaged pickle ends, too
            raise ValueError(str(error)) from error
