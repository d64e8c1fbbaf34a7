"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmdiff.data.files.whole_files import whole_file, write_whole


def test_an_error_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.json"
    write_whole(path, "old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as draft:
        draft.write_text("ne", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_is_full_only_when_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_whole(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(sys.platform == "win32", reason="rights and links of another kind")
def test_rights_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "real" / "report.json", tmp_path / "latest.json"
    write_whole(path, "old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, "new")
    assert link.is_symlink()
    assert path.read_text(encoding="utf-8") == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such file")
def test_what_is_no_file_is_written_to() -> None:
    write_whole(Path("/dev/null"), "new")
    assert not Path("/dev/null").is_file()


WRITES = """
import sys
from pathlib import Path
from pytest_llmdiff.data.files.whole_files import write_whole
print("before")
write_whole(Path(sys.argv[1]), "new\\n")
print("after")
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no such folder")
@pytest.mark.parametrize("piped", [True, False])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link", "fd/1"])
def test_where_stdout_goes_keeps_what_was_written(tmp_path: Path, name: str, piped: bool) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "fd").symlink_to("/dev/fd")
    log = tmp_path / "ci.log"
    command = [sys.executable, "-c", WRITES, str(tmp_path / name)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as file:
        file.write(b"first\n")
        file.flush()
        to = subprocess.PIPE if piped else file
        done = subprocess.run(command, stdout=to, check=True, env=environment)
    said = done.stdout if piped else log.read_bytes().removeprefix(b"first\n")
    assert said == b"before\nnew\nafter\n"
    assert {each.name for each in tmp_path.iterdir()} == {"ci.log", "fd", "link"}


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 250 + ".json")
    write_whole(path, "old")
    write_whole(path, "new")
    assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("step", ["touch", "replace"])
def test_a_file_that_cannot_be_replaced_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A file that is mounted into a container by itself, or lies in a folder that is closed."""
    path = tmp_path / "report.json"
    write_whole(path, "old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, step, refuse)
    write_whole(path, "new")
    assert [file.read_text(encoding="utf-8") for file in tmp_path.iterdir()] == ["new"]
