"""What a store asks of a disk: names of files, appended lines, locks that are only a help."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

LOCKLESS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


def files(folder: Path) -> list[Path]:
    """The files of a store in the order in which they are read: Parquet, then lines."""

    def listed() -> list[Path]:
        paths = [path for pattern in ("*.jsonl", "records*.parquet") for path in folder.glob(pattern) if path.is_file()]
        return sorted(paths, key=lambda path: (path.suffix == ".jsonl", path.stem))

    found = listed()
    # A file that is renamed while a folder is listed may be in the list under neither name.
    while (again := listed()) != found:
        found = again
    return found


@functools.cache
def writer(process: int) -> str:
    """The file that a process appends to, in every store; another name after a fork."""
    return f"records.{stamp()}.jsonl"


def stamp() -> str:
    """A name that nothing else has: by time, for people and for the order of files, and by chance."""
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{started}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


_appending = threading.Lock()


def append(path: Path, line: bytes) -> bool:
    """Add a line durably or not at all; False where `compact` took the file, perhaps before the line was in it."""
    with _appending, path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        # A line whose truncation failed must not swallow the next one.
        torn = size > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        rest = memoryview(b"\n" + line if torn else line)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise
        if size == 0:
            sync(path.parent)
        try:
            with path.open("rb") as now:  # opening asks a network disk again, which a stat may not
                return os.path.samestat(os.fstat(now.fileno()), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name once all is on the disk; another process may be writing the same one.

    Raises:
        OSError: When the disk is full or the folder cannot be written; what was there before stays.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Make the names in a folder durable, where the disk can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def kept_apart(path: Path) -> Iterator[None]:
    """Wait until no other process is at the same work, where the disk has locks.

    Nothing depends on it: without locks work may be done twice, and the first record stands.
    """
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock outlives a lost machine
    try:
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in LOCKLESS:
            raise
    try:
        yield
    finally:
        lock.release()
