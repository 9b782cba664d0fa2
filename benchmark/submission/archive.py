"""Files from outside: a submission's folder or archive, read within limits. Nothing of it is executed or unpickled."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MEBIBYTE = 1024**2
PIECE = MEBIBYTE  # bytes read at a time
TOTAL = 1024 * MEBIBYTE  # of all files
MEMBERS = 20_000
LINE = MEBIBYTE  # of a line of JSON
DEPTH = 20  # of JSON
PLACES = {  # what a submission may hold, and how many bytes
    r"submission\.json": MEBIBYTE // 4,
    r"records\.jsonl": 32 * MEBIBYTE,
    r"marks\.json": MEBIBYTE,
    r"method\.py": MEBIBYTE // 4,
    r"README\.md": MEBIBYTE // 4,
    r"codes/[0-9a-f]{16}\.npz": 32 * MEBIBYTE,
    r"weights/[0-9a-f]{16}\.safetensors": 95 * MEBIBYTE,  # GitHub takes files below 100 MiB
    r"reruns/records\.jsonl": 32 * MEBIBYTE,
}
FOLDERS = ("codes", "weights", "reruns")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")


class RefusedError(ValueError):
    """Files that are not taken; `faults` has a sentence for each reason."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The submission's folder: the folder itself once its files are judged, or what an archive holds, unpacked.

    An archive is unpacked into a temporary folder that goes away, and only what `PLACES` names, as plain files. It may
    have one folder around its files.

    Raises:
        RefusedError: A file that does not belong, a link, a name that leads outside or is no UTF-8, too many or too
            large files, a damaged archive.
        OSError: There is nothing at the path.
    """
    size = path.stat().st_size
    if path.is_symlink():
        raise RefusedError(f"{shown(path.name)} is a symbolic link: name what it points to")
    if path.is_dir():
        members = [(name, status.st_mode, status.st_size) for name, status in _walk(path)]
        _admit(members, {name: name for name, _, _ in members})
        yield path
        return
    if not path.name.endswith(ARCHIVES):
        raise RefusedError(f"{shown(path.name)} is neither a folder nor an archive: give {', '.join(ARCHIVES)}")
    if size > TOTAL // 4:
        raise RefusedError(f"{shown(path.name)} has {size:,} bytes: an archive may have {TOTAL // 4:,}")
    with TemporaryDirectory(prefix="unmix-") as folder:
        inside = Path(folder) / path.name.split(".")[0]
        inside.mkdir()
        try:
            (_unzip if path.suffix == ".zip" else _untar)(path, inside)
        except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, NotImplementedError) as error:
            raise RefusedError(f"{shown(path.name)} is damaged: {error}") from None
        except (UnicodeError, RuntimeError, OSError) as error:  # of gzip and bz2, or of the disk
            raise RefusedError(f"{shown(path.name)} cannot be read: {error}") from None
        yield inside


def shown(text: str) -> str:
    """A name from outside, fit for a screen: what is no printable ASCII is escaped, and it is cut.

    >>> shown("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    plain = "".join(sign if " " <= sign <= "~" else ascii(sign)[1:-1] for sign in text[:200])
    return plain + ("..." if len(text) > 200 else "")


def strict_json(text: str) -> Any:
    """Plain values from JSON text that every reader understands alike.

    Raises:
        ValueError: No JSON, NaN or infinite numbers, two values under one name, nested deeper than 20, longer than
            1 MiB, control characters (but line breaks and tabs) or marks that turn the direction of text.
    """
    if len(text) > LINE:
        raise ValueError(f"{len(text):,} characters of JSON: at most {LINE:,}")
    try:
        content = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"JSON nested deeper than {DEPTH}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error.msg} at character {error.pos})") from None
    _judge(content)
    return content


def text_of(path: Path) -> str:
    """A text file that `opened` has judged.

    Raises:
        ValueError: It is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 text: byte {error.start} is {error.object[error.start]:#x}") from None


def _judge(content: Any) -> None:
    level = [content]
    for _ in range(DEPTH):
        texts = [item for item in level if isinstance(item, str)] + [k for i in level if isinstance(i, dict) for k in i]
        for text in texts:
            if bad := [sign for sign in text if _unprintable(sign)]:
                raise ValueError(f"the control character {bad[0]!a} in {shown(text[:60])!r}: write plain text")
        if any(isinstance(item, float) and not math.isfinite(item) for item in level):
            raise ValueError("a number is beyond what a float holds")
        nested = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in nested for item in items]
    if level:
        raise ValueError(f"JSON nested deeper than {DEPTH}")


def _unprintable(sign: str) -> bool:
    turns = "\u202a" <= sign <= "\u202e" or "\u2066" <= sign <= "\u2069"
    return turns or (unicodedata.category(sign) in ("Cc", "Cs", "Cn") and sign not in "\n\t")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON: scores and settings are finite numbers")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError(f"two values under one name, among {shown(', '.join(name for name, _ in pairs))}")
    return content


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every file below a folder without following links; folders only where they do not belong."""
    for number, entry in enumerate(os.scandir(folder)):
        name, status = prefix + entry.name, entry.stat(follow_symlinks=False)
        if number > MEMBERS:
            raise RefusedError(f"more than {MEMBERS:,} files in {shown(prefix or folder.name)}")
        if stat.S_ISDIR(status.st_mode) and name in FOLDERS:
            yield from _walk(folder / name, f"{name}/")
        else:
            yield name, status


def _fault(name: str, mode: int, size: int) -> str:
    """Why a file is not taken; "" when it is."""
    if any("\ud800" <= sign <= "\udfff" for sign in name):
        return f"{shown(name)} is a name that is no UTF-8"
    if stat.S_ISLNK(mode):
        return f"{shown(name)} is a symbolic link: give the file itself"
    limit = next((limit for pattern, limit in PLACES.items() if re.fullmatch(pattern, name)), None)
    if limit is None:
        outside = name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name)
        return f"{shown(name)} leads out of the folder" if outside else f"{shown(name)} is not part of a submission"
    if not stat.S_ISREG(mode):
        return f"{shown(name)} is no plain file"
    return f"{shown(name)} has {size:,} bytes: at most {limit:,}" if size > limit else ""


def _inside(members: list[tuple[str, int, int]]) -> dict[str, str]:
    """Name in an archive -> place in the folder: without "./", and the one folder that is around all of them."""
    places = {name: name.removeprefix("./") for name, _, _ in members}
    top = {place.split("/")[0] for place in places.values()}
    if len(top) == 1 and all("/" in place for place in places.values()) and not top & {*FOLDERS, "", "..", "."}:
        return {name: place.split("/", 1)[1] for name, place in places.items()}
    return places


def _admit(members: list[tuple[str, int, int]], places: dict[str, str]) -> None:
    """Refuse files (name, mode, size) with all that is wrong with them."""
    faults = [fault for name, mode, size in members if (fault := _fault(places[name], mode, size))]
    if len(set(places.values())) < len(members):
        faults.append("two files have one name")
    if (total := sum(size for _, _, size in members)) > TOTAL:
        faults.append(f"all files have {total:,} bytes: at most {TOTAL:,}")
    if faults:
        raise RefusedError(*faults)


def _unzip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MEMBERS:
            raise RefusedError(f"{len(infos):,} files in the archive: at most {MEMBERS:,}")
        # A zip made elsewhere than on Unix has no mode.
        members = [(i.filename, (i.external_attr >> 16) or stat.S_IFREG, i.file_size) for i in infos]
        members = [(name, mode if stat.S_IFMT(mode) else mode | stat.S_IFREG, size) for name, mode, size in members]
        places = _inside(members)
        _admit(members, places)
        for info in infos:
            with archive.open(info) as stream:
                _write(stream, folder / places[info.filename], info.file_size)


def _untar(path: Path, folder: Path) -> None:
    kinds = {tarfile.REGTYPE: stat.S_IFREG, tarfile.AREGTYPE: stat.S_IFREG}
    kinds |= {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.LNKTYPE: stat.S_IFLNK}
    with path.open("rb") as raw, tarfile.TarFile(fileobj=_bounded(_decompressed(raw, path.name))) as archive:
        infos: list[tarfile.TarInfo] = []
        members: list[tuple[str, int, int]] = []
        while (info := archive.next()) is not None:
            if info.isdir():
                continue
            members.append((info.name, 0 if info.issparse() else kinds.get(info.type, 0), info.size))
            infos.append(info)
            if len(infos) > MEMBERS or sum(size for _, _, size in members) > TOTAL:
                raise RefusedError(f"the archive has more than {MEMBERS:,} files or {TOTAL:,} bytes")
        places = _inside(members)
        _admit(members, places)
        for info in infos:
            stream = archive.extractfile(info)
            assert stream is not None  # it is a regular file
            with stream:
                _write(stream, folder / places[info.name], info.size)


def _decompressed(raw: Any, name: str) -> Any:
    import bz2
    import gzip
    import lzma

    if name.endswith("gz"):
        return gzip.GzipFile(fileobj=raw)
    if name.endswith("xz"):
        return lzma.LZMAFile(raw)
    return bz2.BZ2File(raw) if name.endswith("bz2") else raw


def _bounded(stream: Any) -> Any:
    """A stream that refuses to be read in one go: tarfile takes a header of any size that the archive claims."""

    class Bounded:
        seek, tell, mode = stream.seek, stream.tell, "rb"

        def read(self, size: int) -> bytes:
            if size > PIECE:
                raise RefusedError(f"the archive has a header of {size:,} bytes: it is no plain archive")
            data: bytes = stream.read(size)
            return data

    return Bounded()


def _write(stream: Any, target: Path, size: int) -> None:
    """Copy no more than was promised, whatever the stream goes on to hold."""
    target.parent.mkdir(exist_ok=True)
    with target.open("xb") as file:
        while size > 0 and (piece := stream.read(min(PIECE, size))):
            file.write(piece)
            size -= len(piece)
    if size:
        raise EOFError(f"{target.name} ends before the size that the archive states")
