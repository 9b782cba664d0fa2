"""Published files over a server of our own on 127.0.0.1: fetched once, whole, checked, or refused with a sentence."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from unmix.cli import main
from unmix.datasets import download
from unmix.datasets.download import (
    FOLDER,
    DamagedFileError,
    DownloadError,
    MissingFileError,
    Source,
    StorageError,
    data_folder,
    fetch,
    missing,
    trusted,
    verify,
)
from unmix.datasets.sources import SOURCES

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What is served under every name, how badly, and what was asked for."""

    address: str = ""
    content: bytes = CONTENT
    status: int = 200
    ranges: bool = True
    cut: list[int] = field(default_factory=list)  # bytes after which a connection ends, one a request
    wait: float = 0.0
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    def respond(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append((handler.path, wanted))
        time.sleep(self.wait)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if self.status != 200 or start >= len(self.content):
            handler.send_error(self.status if self.status != 200 else 416)
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cut.pop(0)] if self.cut else body)
        handler.close_connection = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.respond(self)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        state.address = f"http://127.0.0.1:{running.server_port}"
        yield state
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


@pytest.fixture
def source(server: Server) -> Source:
    return Source("set", "file.bin", (f"{server.address}/file.bin",), len(CONTENT), (f"sha256:{SHA256}",))


def left_over(source: Source) -> list[str]:
    return sorted(path.name for path in source.path.parent.glob("*") if not path.name.endswith(".lock"))


# Fetching.


def test_a_file_is_fetched_whole_and_once(source: Source, server: Server) -> None:
    assert fetch(source) == source.path
    assert source.path.read_bytes() == CONTENT
    assert json.loads(source.pin.read_text())["sha256"] == SHA256
    assert fetch(source) == source.path
    assert len(server.asked) == 1
    assert left_over(source) == ["file.bin", "file.bin.pin.json"]


def test_every_published_kind_of_checksum_is_checked(source: Source, server: Server) -> None:
    server.content = b"hello\n"
    right = ("git:ce013625030ba8dba906f756967f9e9ca394464a", "md5:b1946ac92492d2347c6235b4d2611184")  # of git, md5sum
    fetch(replace(source, size=6, checksums=right))
    for checksum in right:
        wrong = checksum[:-1] + "0"
        source.path.unlink()
        with pytest.raises(DownloadError, match=rf"sent something else: .*\({wrong.split(':')[0]} "):
            fetch(replace(source, size=6, checksums=(wrong,)))
        assert left_over(source) == ["file.bin.pin.json"]
        source.path.write_bytes(b"hello\n")


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on(source: Source, server: Server, ranges: bool) -> None:
    server.cut, server.ranges = [300_000, 600_000], ranges
    fetch(source)
    assert source.path.read_bytes() == CONTENT
    starts = [int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0 for _, wanted in server.asked]
    assert starts[0] == 0
    assert starts[1:] == sorted(starts[1:])
    assert all(0 < start <= 300_000 + 600_000 for start in starts[1:])
    assert len(starts) == 3


def test_a_killed_download_goes_on(source: Source, server: Server) -> None:
    server.cut = [300_000, 0]
    with pytest.raises(DownloadError, match=r"could not be downloaded from .*\(.*\): try again later"):
        fetch(source)
    assert not source.path.exists()
    fetch(source)
    assert source.path.read_bytes() == CONTENT
    starts = [wanted for _, wanted in server.asked]
    assert starts[0] is None
    assert starts[1] == starts[2] != "bytes=0-"  # nothing arrived the second time
    assert left_over(source) == ["file.bin", "file.bin.pin.json"]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_whole_part_needs_no_more(source: Source, server: Server, size: int | None, extra: bytes) -> None:
    server.cut = [len(CONTENT) - 1, 0]
    with pytest.raises(DownloadError):
        fetch(replace(source, size=size))
    (part,) = source.path.parent.glob(".*.part")
    part.write_bytes(CONTENT + extra)
    fetch(replace(source, size=size))
    assert source.path.read_bytes() == CONTENT


def test_the_next_address_is_tried(source: Source, server: Server) -> None:
    closed = "http://127.0.0.1:9/file.bin"
    fetch(replace(source, addresses=(closed, *source.addresses)))
    assert source.path.read_bytes() == CONTENT


def test_no_network_names_the_addresses_and_the_place(source: Source) -> None:
    closed = ("http://127.0.0.1:9/file.bin", "http://127.0.0.1:9/mirror.bin")
    with pytest.raises(DownloadError) as caught:
        fetch(replace(source, addresses=closed))
    sentence = str(caught.value)
    assert sentence == (
        f"file.bin could not be downloaded from {closed[0]} (no connection) or {closed[1]} (no connection): "
        f"try again later, or put it at {source.path} by hand"
    )


def test_what_the_server_says_is_passed_on(source: Source, server: Server) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match=r"file.bin \(404 Not Found\)"):
        fetch(source)


def test_a_page_instead_of_the_file_is_not_pinned(source: Source, server: Server) -> None:
    server.content = b"<html>Please log in</html>"
    unchecked = replace(source, name="data.npz", size=None, checksums=())
    with pytest.raises(DownloadError, match=r"does not begin like a \.npz file"):
        fetch(unchecked)
    assert left_over(unchecked) == []


def test_a_file_that_no_address_serves_is_asked_of_a_person() -> None:
    by_hand = Source("set", "file.bin", page="https://drive.example/file")
    with pytest.raises(DownloadError, match=r"no address serves to programs: put it into .*set by hand, from http"):
        fetch(by_hand)


def test_two_at_once_download_once(source: Source, server: Server) -> None:
    server.wait = 0.3
    threads = [threading.Thread(target=fetch, args=(source,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert source.path.read_bytes() == CONTENT


# Folders.


def test_a_file_in_the_folders_place_is_named(source: Source, folder: Path) -> None:
    (folder / "set").write_text("")
    with pytest.raises(StorageError, match=rf"{folder}/set cannot be written to \(File exists\).*{FOLDER}"):
        fetch(source)


@pytest.mark.parametrize(("number", "reason"), [(13, "Permission denied"), (30, "Read-only file system")])
def test_a_read_only_folder_is_named(
    source: Source, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, reason)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=rf"cannot be written to \({reason}\).*unmix data --folder"):
        fetch(source)


def test_a_file_that_is_here_is_only_read(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(source)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(download, "FileLock", refuse)
    assert fetch(source) == source.path
    assert verify(source) == SHA256


def test_a_full_disk_is_named(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_request", full)
    with pytest.raises(StorageError, match="No space left on device"):
        fetch(source)


def test_the_folder_is_the_platforms_cache_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    assert data_folder() == Path(os.environ[FOLDER])
    monkeypatch.setenv(FOLDER, "")
    assert data_folder() == Path(pooch.os_cache("unmix"))


# Trust.


def put(source: Source, content: bytes = CONTENT) -> None:
    source.path.parent.mkdir(exist_ok=True)
    source.path.write_bytes(content)


def test_a_file_put_by_hand_is_trusted_by_its_checksum(source: Source) -> None:
    put(source)
    assert trusted(source) == SHA256


def test_a_truncated_file_is_refused(source: Source) -> None:
    put(source, CONTENT[:-100])
    with pytest.raises(DamagedFileError, match="1,023,900 bytes where 1,024,000 are published, so it is truncated"):
        trusted(source)


def test_a_renamed_file_is_refused(source: Source) -> None:
    put(source, CONTENT[::-1])
    with pytest.raises(DamagedFileError, match=r"is not the published file.bin \(sha256 .*another file of that name"):
        trusted(source)
    assert not source.pin.exists()


def test_without_a_published_checksum_the_first_sight_counts(source: Source) -> None:
    unchecked = replace(source, size=None, checksums=())
    put(unchecked)
    assert trusted(unchecked) == SHA256
    put(unchecked, CONTENT[::-1])
    for check in (trusted, verify, fetch):
        with pytest.raises(DamagedFileError, match=r"has changed: its sha256 was .*delete file.bin.pin.json beside it"):
            check(unchecked)
    unchecked.pin.unlink()
    assert trusted(unchecked) == hashlib.sha256(CONTENT[::-1]).hexdigest()


def test_a_known_file_is_read_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    put(source)
    trusted(source)
    read: list[Path] = []
    examine = download._examined
    monkeypatch.setattr(download, "_examined", lambda source, path: read.append(path) or examine(source, path))
    trusted(source)
    assert read == []
    os.utime(source.path, (1, 1))  # as after a copy: the content must be looked at again
    trusted(source)
    trusted(source)
    assert read == [source.path]
    verify(source)
    assert len(read) == 2


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"sha256": 3}'])
def test_a_damaged_pin_is_named(source: Source, content: str) -> None:
    put(source)
    source.pin.write_text(content)
    with pytest.raises(DamagedFileError, match=re.escape(str(source.pin))):
        trusted(source)


def test_what_is_missing_is_one_sentence(source: Source, folder: Path) -> None:
    sources = [replace(source, name=f"{letter}.bin") for letter in "abc"]
    assert missing(sources) == (
        f"set needs a.bin and 2 more files, not here yet: run `unmix data fetch set`, or put them into {folder}/set "
        f"by hand, from {source.addresses[0]}"
    )
    put(sources[0])
    assert "set needs b.bin, c.bin, not here yet: run `unmix data fetch set b.bin c.bin`" in missing(sources)
    put(sources[1])
    put(sources[2])
    assert missing(sources) == ""
    with pytest.raises(MissingFileError, match=r"file\.bin"):
        trusted(source)


# The table.


@pytest.mark.parametrize("dataset", SOURCES)
def test_the_table_is_well_formed(dataset: str) -> None:
    lengths = {"sha256": 64, "md5": 32, "git": 40}
    names = [source.name for source in SOURCES[dataset]]
    assert len(set(names)) == len(names)
    for source in SOURCES[dataset]:
        assert source.dataset == dataset
        assert source.addresses or source.page
        assert all(source.name in address.split("/")[-1] for address in source.addresses)
        for algorithm, value in (checksum.split(":") for checksum in source.checksums):
            assert re.fullmatch(f"[0-9a-f]{{{lengths[algorithm]}}}", value)


# The command.


@pytest.fixture
def listed(source: Source, monkeypatch: pytest.MonkeyPatch) -> Source:
    other = replace(source, name="other.bin", addresses=("http://127.0.0.1:9/other.bin",))
    monkeypatch.setitem(SOURCES, "set", (source, other))  # type: ignore[arg-type]
    return source


def test_fetch_reports_each_file_and_fails_if_one_fails(listed: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "set"]) == 1
    shown = capsys.readouterr().err
    assert f"here: {listed.path}" in shown
    assert "unmix: other.bin could not be downloaded from http://127.0.0.1:9/other.bin (no connection)" in shown
    assert main(["data", "fetch", "set", "file.bin"]) == 0


def test_folder_is_where_files_go(
    listed: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "fetch", "set", "file.bin", "--folder", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere" / "set" / "file.bin").read_bytes() == CONTENT
    capsys.readouterr()
    assert main(["data", "list", "set"]) == 0
    assert f"{tmp_path}/elsewhere/DATASET/FILE" in capsys.readouterr().out


def test_list_shows_size_checksum_and_state(listed: Source, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    for source in (source for sources in SOURCES.values() for source in sources):
        assert source.name in shown
    assert re.search(r"file.bin +1,024,000 +sha256 +not here", shown)
    put(listed)
    assert main(["data", "list", "set"]) == 0
    assert re.search(r"file.bin +1,024,000 +sha256 +here", capsys.readouterr().out)


def test_verify_reads_what_is_here(listed: Source, capsys: pytest.CaptureFixture[str]) -> None:
    put(listed)
    assert main(["data", "verify"]) == 0
    assert f"as published: {listed.path} (sha256 {SHA256})" in capsys.readouterr().err
    assert main(["data", "verify", "set"]) == 1  # other.bin was asked for, and is not here
    assert "set needs other.bin, not here yet" in capsys.readouterr().err
    modified = listed.path.stat()
    put(listed, CONTENT[::-1])
    os.utime(listed.path, ns=(modified.st_atime_ns, modified.st_mtime_ns))  # unseen by size and time
    assert trusted(listed) == SHA256
    assert main(["data", "verify", "set", "file.bin"]) == 1
    assert "is not the published file.bin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fetch", "shapes3"], "did you mean shapes3d"),
        (["fetch", "mpi3d", "mpi3d_toi.npz"], "no file of mpi3d is named 'mpi3d_toi.npz'; did you mean mpi3d_toy.npz"),
        (["list", "--colour"], "unknown words: --colour"),
    ],
)
def test_wrong_words_are_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *words]) == 2
    assert message in capsys.readouterr().err
