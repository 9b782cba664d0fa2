"""Published files: where they are, whether they are what was published, and how to get them.

A file is trusted when its published checksums fit. Where none is published, its sha256 is recorded at first sight in a
small JSON file beside it, the pin, and it must stay what it was. Nothing that is downloaded is ever unpickled as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from rich.progress import Progress

FOLDER = "UNMIX_DATA"
"""The environment variable that names the folder of all published files."""

MAGIC = {
    ".npz": (0, b"PK"),
    ".h5": (0, b"\x89HDF"),
    ".hdf5": (0, b"\x89HDF"),
    ".gz": (0, b"\x1f\x8b"),
    ".tar": (257, b"ustar"),
    ".pickle": (0, b"\x80"),
}
"""How files begin, by suffix: a page of a login portal must not be pinned as a dataset."""


class MissingFileError(FileNotFoundError):
    """A published file that is not here; the message says how to get it and where it goes."""


class DamagedFileError(OSError):
    """A file that is not what was published under its name: truncated, renamed, altered, of another variant."""


class DownloadError(OSError):
    """A file that no address served; the message says what was tried and where to put it by hand."""


class StorageError(OSError):
    """A folder that cannot be written to, or is full; the message says how to name another."""


@dataclass(frozen=True)
class Source:
    """One published file.

    Args:
        dataset: Its dataset's name, and its folder's.
        name: Of the file.
        addresses: That serve it, the best first.
        size: In bytes, where published.
        checksums: The published ones: "sha256:...", "md5:...", or "git:...", the blob's id in git.
        page: For people: where to download it in a browser if no address serves programs.
    """

    dataset: str
    name: str
    addresses: tuple[str, ...] = ()
    size: int | None = None
    checksums: tuple[str, ...] = ()
    page: str = ""

    @property
    def path(self) -> Path:
        """Where it is, or would go."""
        return data_folder() / self.dataset / self.name

    @property
    def pin(self) -> Path:
        """What was seen of it."""
        return self.path.with_name(self.name + ".pin.json")

    @property
    def origin(self) -> str:
        """Where people find it."""
        return self.addresses[0] if self.addresses else self.page

    @property
    def again(self) -> str:
        """How to replace a wrong file."""
        if not self.addresses:
            return f"replace it by hand from {self.page}"
        return f"delete it and run `unmix data fetch {self.dataset} {self.name}`"


def data_folder() -> Path:
    """The folder of all published files: $UNMIX_DATA, else `unmix` in the platform's cache folder."""
    if os.environ.get(FOLDER):
        return Path(os.environ[FOLDER])
    import pooch

    return Path(pooch.os_cache("unmix"))


def missing(sources: Sequence[Source]) -> str:
    """One sentence: which of the files are not here, how to get them, where to put them by hand; "" when all are."""
    absent = [source for source in sources if not source.path.is_file()]
    if not absent:
        return ""
    first = absent[0]
    named = [source.name for source in absent] if len(absent) <= 2 else []
    names = ", ".join(named) or f"{first.name} and {len(absent) - 1} more files"
    by_hand = f"put {'it' if len(absent) == 1 else 'them'} into {first.path.parent} by hand, from {first.origin}"
    if not first.addresses:
        return f"{first.dataset} needs {names}, which no address serves to programs: {by_hand}"
    command = " ".join(["unmix data fetch", first.dataset, *named])
    return f"{first.dataset} needs {names}, not here yet: run `{command}`, or {by_hand}"


def trusted(source: Source) -> str:
    """The sha256 of a file that is here and is what was published, or what was seen first.

    A file with the size and the time of modification that its pin states was checked before and is not read again.

    Raises:
        MissingFileError: It is not here.
        DamagedFileError: It is something else.
        StorageError: The pin cannot be written.
    """
    if sentence := missing([source]):
        raise MissingFileError(sentence)
    stat, pin = source.path.stat(), _read_pin(source)
    if (pin.get("size"), pin.get("modified")) == (stat.st_size, stat.st_mtime_ns):
        return str(pin["sha256"])
    return verify(source)


def verify(source: Source) -> str:
    """Read the whole file, compare it with what is published and with its pin, and pin it: its sha256.

    Raises:
        MissingFileError: It is not here.
        DamagedFileError: It is something else.
        StorageError: The pin cannot be written.
    """
    if sentence := missing([source]):
        raise MissingFileError(sentence)
    pin = _read_pin(source)
    found = _examined(source, source.path)
    if pin and pin["sha256"] != found:
        raise DamagedFileError(
            f"{source.path} has changed: its sha256 was {pin['sha256'][:12]}... when it was first seen and is "
            f"{found[:12]}... now; {source.again}, or delete {source.pin.name} beside it if the change is wanted"
        )
    stat = source.path.stat()
    content = {"sha256": found, "size": stat.st_size, "modified": stat.st_mtime_ns}
    if pin != content:
        with writable(source.pin.parent):
            part = source.pin.with_name(f"{source.pin.name}.{os.getpid()}")
            part.write_text(json.dumps(content) + "\n")
            part.replace(source.pin)
    return found


def fetch(source: Source, progress: Progress | None = None) -> Path:
    """Download a file, going on where an earlier attempt stopped; a file that is here is only checked.

    Its addresses are tried in turn; what arrives gets its name once its checksums fit. A second process waits
    for the first.

    Raises:
        DamagedFileError: The file that is here is something else.
        DownloadError: No address served it.
        StorageError: It cannot be stored.
    """
    path, reasons = source.path, []
    if path.is_file():  # in a folder that is only read, perhaps
        trusted(source)
        return path
    with writable(path.parent), FileLock(path.with_name(f".{path.name}.lock")):
        if path.is_file():  # another process was first
            trusted(source)
            return path
        for address in source.addresses:
            # By address: the halves of two mirrors' files need not fit.
            part = path.with_name(f".{path.name}.{hashlib.sha256(address.encode()).hexdigest()[:8]}.part")
            reason = _receive(source, address, part, progress)
            if not reason:
                part.replace(path)
                trusted(source)
                return path
            reasons.append(f"{address} ({reason})")
    if not reasons:
        raise DownloadError(missing([source]))
    raise DownloadError(
        f"{source.name} could not be downloaded from {' or '.join(reasons)}: "
        f"try again later, or put it at {path} by hand"
    )


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make a folder to write to, and turn what the system refuses there into a sentence that helps.

    Raises:
        StorageError: It cannot be written to, or is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (MissingFileError, DamagedFileError, DownloadError, StorageError):
        raise
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written to ({error.strerror or error}): "
            f"name another folder by the environment variable {FOLDER} or by `unmix data --folder`"
        ) from error


def _receive(source: Source, address: str, part: Path, progress: Progress | None) -> str:
    """Download from one address into `part`; returns why that failed, or ""."""
    import requests

    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if source.size is None or before != source.size:
                _request(address, part, before, _Bar(progress, source.name, before) if progress else False)
            _examined(source, part)
            return ""
        except requests.RequestException as error:
            answer = getattr(error, "response", None)
            if answer is not None and answer.status_code == 416 and before:
                part.unlink()  # longer than the file: begin again
            elif not part.exists() or part.stat().st_size <= before:
                return _reason(error)  # nothing arrived: no passing interruption
        except DamagedFileError as error:
            part.unlink()
            return f"sent something else: {error}"


def _request(address: str, part: Path, start: int, bar: Any) -> None:
    import pooch

    with part.open("ab") as file:

        def begin(response: Any, *_: Any, **__: Any) -> None:
            if response.status_code == 200:  # the whole file: this server knows no ranges
                file.truncate(0)

        headers = {"Accept-Encoding": "identity"}  # a .gz must arrive as it is
        if start:
            headers["Range"] = f"bytes={start}-"
        download = pooch.HTTPDownloader(
            progressbar=bar, chunk_size=1 << 18, headers=headers, hooks={"response": begin}, timeout=30
        )
        download(address, file, None)


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no connection" if isinstance(error, requests.ConnectionError) else str(error)


def _examined(source: Source, path: Path) -> str:
    """The sha256 of a file whose size, beginning and published checksums fit.

    Raises:
        DamagedFileError: One of them does not.
    """
    size = path.stat().st_size
    if source.size is not None and size != source.size:
        state = "truncated" if size < source.size else "another file"
        raise DamagedFileError(
            f"{path} has {size:,} bytes where {source.size:,} are published, so it is {state}: {source.again}"
        )
    where, begins = MAGIC.get(Path(source.name).suffix, (0, b""))
    with path.open("rb") as file:
        if file.read(where + len(begins))[where:] != begins:
            raise DamagedFileError(f"{path} does not begin like a {Path(source.name).suffix} file: {source.again}")
    wanted = dict(checksum.split(":") for checksum in source.checksums)
    found = _digests(path, {"sha256", *wanted})
    for algorithm, value in wanted.items():
        if found[algorithm] != value:
            raise DamagedFileError(
                f"{path} is not the published {source.name} ({algorithm} {found[algorithm][:12]}..., published "
                f"{value[:12]}...), but damaged, or another file of that name: {source.again}"
            )
    return found["sha256"]


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    """Of one reading of the file."""
    known = {name: hashlib.new("sha1" if name == "git" else name, usedforsecurity=False) for name in algorithms}
    if "git" in known:
        known["git"].update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            for digest in known.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in known.items()}


def _read_pin(source: Source) -> dict[str, Any]:
    try:
        pin: dict[str, Any] = json.loads(source.pin.read_text())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise DamagedFileError(f"{source.pin} cannot be read ({error}): delete it") from error
    if not isinstance(pin, dict) or not isinstance(pin.get("sha256"), str):
        raise DamagedFileError(f"{source.pin} holds no sha256: delete it")
    return pin


class _Bar:
    """A line of rich's progress bar, as pooch drives it."""

    def __init__(self, progress: Progress, name: str, start: int) -> None:
        self.progress, self.start = progress, start
        found = [task.id for task in progress.tasks if task.description == name]
        self.task = found[0] if found else progress.add_task(name, total=None)

    @property
    def total(self) -> int:
        return 0

    @total.setter
    def total(self, remaining: int) -> None:
        self.progress.update(self.task, total=self.start + remaining, completed=self.start)

    def update(self, n: int) -> None:
        self.progress.update(self.task, advance=n)

    def reset(self) -> None:
        self.progress.update(self.task, completed=self.start)

    def close(self) -> None:
        pass
