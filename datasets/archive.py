"""Archives of pictures: read from a tar one member after the other, nothing of it is extracted to disk."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from unmix.datasets.download import DamagedFileError
from unmix.datasets.stored import Images, reading

LANCZOS, BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR


def members(path: Path, pattern: str) -> Iterator[tuple[re.Match[str], bytes]]:
    """Content of the regular files of a tar whose whole name fits the pattern, in their order.

    Only their content is used, never a path of theirs; still, an archive that points outside of itself is refused.

    Args:
        path: Of a .tar or .tar.gz.
        pattern: A regular expression of the name, without a leading "./".

    Raises:
        DamagedFileError: The archive is damaged, ends too early, or has a member outside of its folder.
    """
    with reading(path):
        try:
            with tarfile.open(path) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # else it keeps them, all 250,000
                    tarfile.data_filter(member, str(path.parent))
                    match = re.fullmatch(pattern, member.name.removeprefix("./"))
                    file = archive.extractfile(member) if match and member.isreg() else None
                    if match and file is not None:
                        yield match, file.read()
        except tarfile.FilterError as error:
            raise DamagedFileError(
                f"{path} has a member that points outside of it ({error}): this is not the published archive, delete it"
            ) from error
        except tarfile.TarError as error:
            raise EOFError(str(error)) from error


def picture(content: bytes, size: int) -> Images:
    """A picture file as (size, size, 3), scaled down bilinearly with anti-aliasing.

    Raises:
        ValueError: It is no picture, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return scaled(np.asarray(image.convert("RGB")), size, BILINEAR)
    except OSError as error:  # Pillow's, but it is not the disk that fails
        raise ValueError(f"a picture in it cannot be read: {error}") from error


def scaled(image: Images, size: int, resampling: Image.Resampling) -> Images:
    """An image (height, width[, 3]) at size x size, by Pillow's filter, which smooths before it takes fewer pixels."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), resampling))
