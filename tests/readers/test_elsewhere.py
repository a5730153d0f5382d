"""Logs in a bucket, on a server and in archives: the same runs, by their own address, and nothing escapes."""

from __future__ import annotations

import importlib
import io
import itertools
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from plateau_doctor import analyze, render
from plateau_doctor.cli import _run
from plateau_doctor.letters import UsageError
from plateau_doctor.readers import archives, read, stores
from plateau_doctor.run import Problem, Run

LOGS = Path(__file__).parents[2] / "examples" / "logs"
CSV = "epoch,loss,val_loss\n" + "".join(f"{i},{2.3 * 0.9**i:.4f},{2.4 * 0.9**i:.4f}\n" for i in range(30))
NUMBERS = itertools.count()
NAMES = ("overfitting", "vanishing_gradients")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs of event files, and what is none of them."""
    import shutil

    for name in NAMES:
        shutil.copytree(LOGS / name, tmp_path / "runs" / name)
    (tmp_path / "runs" / "model.ckpt").write_bytes(b"\0" * 1000)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The endpoint of a server that speaks S3, on the loopback."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(bucket: str, logs: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the logs in a bucket."""
    import s3fs

    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", bucket),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    store = s3fs.S3FileSystem()
    name = f"mine-{next(NUMBERS)}"
    store.mkdir(name)
    store.put(str(logs), f"{name}/runs", recursive=True)
    return f"s3://{name}/runs"


@pytest.fixture
def server(logs: Path) -> Iterator[str]:
    """The address of a web server that shows the folder above the logs."""
    pytest.importorskip("aiohttp")

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(logs.parent)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


def told(path: Path | str) -> list[str]:
    """What is said of a path, with its address taken out."""
    return [line.replace(str(path), "HERE") for line in render(analyze([path]), "jsonl").splitlines()]


def test_a_bucket_is_read_like_a_folder(s3: str, logs: Path) -> None:
    assert told(s3) == told(logs)
    run = next(one for one in read(s3) if isinstance(one, Run))
    assert run.source == f"{s3}/{run.name}"
    assert run.reasons["joined"] == f"{s3}/{run.name}/history.csv holds the same values and was left out"


def test_nothing_but_logs_is_copied_and_nothing_is_left(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    copied, done = [], stores._copied

    def noted(store: Any, path: str, *rest: Any) -> Problem | None:
        copied.append(path)
        return done(store, path, *rest)

    monkeypatch.setattr(stores, "_copied", noted)
    assert len([one for one in read(s3) if isinstance(one, Run)]) == 2
    assert len(copied) == 4
    assert not [path for path in copied if "ckpt" in path]
    assert not list((tmp_path / "tmp").iterdir())


def test_analyze_scans_a_bucket_and_goes_on_with_it(
    s3: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for options in ([], ["--jobs", "2"], ["--resume", str(tmp_path / "j")]):
        _run(["analyze", s3, "--format", "json", *options])
        found.append(capsys.readouterr().out)
    assert len(set(found)) == 1
    assert f'"source": "{s3}/overfitting"' in found[0]


def test_a_folder_and_a_file_of_a_server_are_read(server: str, logs: Path) -> None:
    runs = [one for one in read(f"{server}/runs/") if isinstance(one, Run)]
    assert [run.name for run in runs] == list(NAMES)
    (logs / "history.csv").write_text(CSV)
    (run,) = read(f"{server}/runs/history.csv")
    assert (run.name, run.source) == ("history.csv", f"{server}/runs/history.csv")


def test_an_archive_on_a_server_is_read(server: str, logs: Path) -> None:
    zipped(logs.parent / "all.zip", {"a/history.csv": CSV.encode()})
    (run,) = read(f"{server}/all.zip")
    assert (run.name, run.source) == ("a/history.csv", f"{server}/all.zip/a/history.csv")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("address", ["s3://mine-0/nowhere", "s3://theirs/runs", "{server}/nowhere.csv"])
def test_an_address_with_nothing_there_is_a_letter(
    address: str, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["analyze", address.format(server=server)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_server_that_does_not_answer_is_a_letter() -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(UsageError, match=r"http://127\.0\.0\.1:9/a\.csv"):
        list(read("http://127.0.0.1:9/a.csv"))


@pytest.mark.parametrize(
    ("address", "module", "extra"),
    [("s3://b/runs", "s3fs", "s3"), ("gs://b/runs", "gcsfs", "gcs"), ("https://h/a.csv", "fsspec", "https")],
)
def test_what_an_address_needs_is_named(
    address: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    importlib.import_module("fsspec.registry")._registry.pop(address.partition(":")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    if module == "fsspec":
        monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UsageError, match=rf"pip install 'plateau-doctor\[{extra}\]'"):
        list(read(address))


def test_an_unknown_kind_of_address_is_a_letter() -> None:
    with pytest.raises(UsageError, match="did you mean 's3'"):
        list(read("s33://bucket/runs"))


def test_fsspec_is_imported_for_addresses_alone() -> None:
    code = f"import sys; from plateau_doctor import analyze; analyze([{str(LOGS / 'healthy')!r}]); "
    code += "print('fsspec' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def in_archive(path: Path) -> tuple[list[Run], list[Problem]]:
    found = list(read(path))
    return [one for one in found if isinstance(one, Run)], [one for one in found if isinstance(one, Problem)]


@pytest.mark.parametrize(
    "name", ["runs.zip", "runs.tar", "runs.tar.gz", "runs.tgz", "runs.tar.bz2", "runs.tar.xz"]
)
def test_an_archive_is_read_like_a_folder(name: str, logs: Path, tmp_path: Path) -> None:
    members = {str(p.relative_to(logs)): p.read_bytes() for p in sorted(logs.rglob("*")) if p.is_file()}
    kind = name.rpartition(".")[2].replace("tgz", "gz").replace("tar", "")
    path = (
        zipped(tmp_path / name, members) if kind == "zip" else tarred(tmp_path / name, members, f"w:{kind}")
    )
    assert told(path) == told(logs)


@pytest.mark.parametrize("name", ["runs.zip", "runs.tar.gz"])
@pytest.mark.parametrize("member", ["../out.csv", "/tmp/plateau-doctor-out.csv", "a/../../out.csv"])
def test_no_member_leaves_the_folder(member: str, name: str, tmp_path: Path) -> None:
    make = zipped if name.endswith(".zip") else tarred
    runs, problems = in_archive(make(tmp_path / name, {member: CSV.encode(), "in.csv": CSV.encode()}))
    assert [run.name for run in runs] == ["in.csv"]
    assert [problem.why for problem in problems] == ["its path leaves the archive"]
    assert not Path("/tmp/plateau-doctor-out.csv").exists()


def test_links_and_devices_in_a_tar_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, "link.csv"),
            (tarfile.CHRTYPE, "device.csv"),
            (tarfile.LNKTYPE, "hard.csv"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    runs, problems = in_archive(tmp_path / "a.tar")
    assert not runs
    assert {problem.why for problem in problems} == {"a link or a device, not a file"}


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
@pytest.mark.parametrize("member", ["bomb.csv", "bomb.bin"])
def test_a_bomb_fills_no_disk(
    name: str, member: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    make = zipped if name.endswith(".zip") else tarred
    bomb = make(tmp_path / name, {"good.csv": CSV.encode(), member: b"0" * (64 << 20)})
    into = tmp_path / "into"
    problems = archives.unpacked(bomb, into, "bomb")
    written = sum(file.stat().st_size for file in into.rglob("*") if file.is_file())
    assert (into / "good.csv").is_file()
    assert written < 2 << 20
    if member.endswith("csv") or name.endswith("gz"):
        assert [problem.what for problem in problems] == ["unpacked no further"]
    runs, _ = in_archive(bomb)
    assert [run.name for run in runs] == ["good.csv"]


def test_thousands_of_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_MEMBERS", 50)
    path = zipped(tmp_path / "many.zip", {f"{i}/history.csv": CSV.encode() for i in range(60)})
    problems = archives.unpacked(path, tmp_path / "into", "many.zip")
    assert [problem.why for problem in problems] == ["it holds more than 50 logs"]
    assert len(list((tmp_path / "into").rglob("*.csv"))) == 50


@pytest.mark.parametrize("name", ["runs.zip", "runs.tar.gz", "runs.tar", "runs.tar.xz", "runs.tar.bz2"])
def test_a_damaged_archive_is_named_and_never_a_crash(name: str, tmp_path: Path) -> None:
    kind = name.rpartition(".")[2].replace("tar", "")
    members = {f"{i}/history.csv": CSV.encode() for i in range(3)}
    whole = zipped(tmp_path / "x", members) if kind == "zip" else tarred(tmp_path / "x", members, f"w:{kind}")
    content = whole.read_bytes()
    for i in range(0, len(content), max(1, len(content) // 40)):
        for damaged in (content[:i], content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :]):
            (tmp_path / name).write_bytes(damaged)
            runs, problems = in_archive(tmp_path / name)
            renamed = kind == "zip" and len(damaged) == len(content)  # a zip has no checksum of its names
            assert len(runs) == 3 or problems or renamed, f"what is missing is named (byte {i})"


def test_a_member_under_a_password_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.csv": CSV.encode()})
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1  # the flag that says: encrypted
    path.write_bytes(content)
    runs, problems = in_archive(path)
    assert not runs
    assert "password" in problems[0].why
