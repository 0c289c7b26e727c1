"""The bridge and disks that fill up, turn read-only, lose what they took, or aren't there.

A picture that cannot be saved is published all the same and its result says why there is no file;
what a result names is there, whole, and nothing else is.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Boards, StartBridge, old
from tests.fakes.picture import stamp
from tests.fakes.talk import Talk
from tests.test_storage import files

SIZE = 100_000


def keeping(path: Path, free: int | None = None, **options: Any) -> dict[str, Any]:
    """The section `storage` for pictures in that folder."""
    return {"path": str(path), "keep": {"free": free}, **options}


def is_saved(talk: Talk, id_: str) -> dict[str, Any]:
    """A picture is taken and saved, and the file is what was published; its result."""
    talk.ask({"id": id_})
    result = talk.result(id_)
    assert (result["status"], result["saved"], result["message"]) == ("ok", True, None)
    saved = Path(result["path"]).read_bytes()
    assert saved == talk.messages("image")[-1].payload
    assert result["sha256"] == hashlib.sha256(saved).hexdigest()
    return result


def is_not_saved(talk: Talk, id_: str, why: str) -> None:
    """A picture is taken and published though there is no file, unless that was what was wanted."""
    before = len(talk.messages("image"))
    talk.ask({"id": id_})
    result = talk.result(id_)
    assert (result["status"], result["error"], result["saved"]) == ("ok", None, False)
    assert result["path"] is result["sha256"] is None
    assert why in result["message"]
    assert len(talk.messages("image")) == before + 1
    assert stamp(talk.messages("image")[-1].payload)["seq"] == before + 1
    answer = talk.client.request(talk.topic("door", "capture"), {"id": f"{id_} p", "reply": "path"})
    assert (answer.json["error"], answer.json["path"]) == ("storage_failed", None)
    assert why in answer.json["message"]
    assert talk.result(f"{id_} p") == answer.json


# What happens to a disk, and how it is mended


@dataclass(frozen=True)
class Calamity:
    """What is done to a disk and its folder of pictures, and how that is undone."""

    why: str  # as the result says it
    strike: Callable[[Path, Path], object]
    mend: Callable[[Path, Path], object]


def remount(disk: Path, *options: str) -> None:
    command = ["mount", "-o", f"remount,{','.join(options)}", str(disk)]
    subprocess.run(command, check=True, timeout=10)


def fill(disk: Path, _pictures: Path) -> None:
    with (disk / "mine").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def use_up_names(disk: Path, _pictures: Path) -> None:
    remount(disk, "nr_inodes=100")
    with suppress(OSError):
        for number in range(100):
            (disk / f"mine{number}").touch()


def replace_by(make: Callable[[Path], object]) -> Callable[[Path, Path], None]:
    def strike(_disk: Path, pictures: Path) -> None:
        shutil.rmtree(pictures)
        make(pictures)

    return strike


def put_back(_disk: Path, pictures: Path) -> None:
    pictures.unlink()
    pictures.mkdir()


CALAMITIES = {
    "full": Calamity(
        "no space left on device, 0.0 MB free", fill, lambda disk, _: (disk / "mine").unlink()
    ),
    "out of names": Calamity(
        "no space left on device", use_up_names, lambda disk, _: remount(disk, "nr_inodes=0")
    ),
    "read-only": Calamity(
        "read-only file system",
        lambda disk, _: remount(disk, "ro"),
        lambda disk, _: remount(disk, "rw"),
    ),
    "folder replaced by a file": Calamity(
        "not a directory", replace_by(lambda path: path.write_text("mine")), put_back
    ),
    "folder replaced by a link to nowhere": Calamity(
        "no such file or directory", replace_by(lambda path: path.symlink_to("gone")), put_back
    ),
}


@pytest.mark.parametrize("name", CALAMITIES)
def test_whatever_happens_to_the_disk_pictures_are_published_and_saved_again_afterwards(
    bridge: StartBridge, board: Boards, talk: Talk, small_disk: Path, name: str
) -> None:
    calamity, pictures = CALAMITIES[name], small_disk / "captures"
    process = bridge({"door": old(board(size=SIZE))}, storage=keeping(pictures))
    is_saved(talk, "before")
    calamity.strike(small_disk, pictures)
    before = files(small_disk)
    is_not_saved(talk, "meanwhile", calamity.why)
    is_not_saved(talk, "still", calamity.why)
    assert files(small_disk) == before
    calamity.mend(small_disk, pictures)
    saved = Path(is_saved(talk, "afterwards")["path"])
    assert (pictures / "door" / "latest.jpg").read_bytes() == saved.read_bytes()
    process.wait_for_log(f"WARNING .*not saved: .*{calamity.why}")
    assert len(talk.all_results()) == 6


def test_a_folder_that_is_removed_is_made_again(
    bridge: StartBridge, board: Boards, talk: Talk
) -> None:
    process = bridge({"door": old(board())})
    pictures = process.directory / "captures"
    for number in range(3):
        is_saved(talk, f"{number}")
        shutil.rmtree(pictures / "door" if number else pictures)
    assert is_saved(talk, "last")["path"].startswith(str(pictures / "door"))


def test_while_a_disk_fills_up_what_results_name_is_there_and_nothing_else(
    bridge: StartBridge, board: Boards, talk: Talk, small_disk: Path
) -> None:
    names = ("door", "hall", "yard")
    bridge(
        {name: old(board(name, size=70_000)) for name in names},
        storage=keeping(small_disk / "captures", latest=False),
    )
    for name in names:
        talk.ask({"id": name, "count": 8}, name)
    results = [m.json for m in talk.client.wait(talk.topic("+", "result"), count=24)]
    assert {r["status"] for r in results} == {"ok"}
    saved = {Path(r["path"]): r["sha256"] for r in results if r["saved"]}
    assert files(small_disk) == saved.keys()
    for path, sha256 in saved.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert 10 <= len(saved) <= 14  # of 1 MiB
    for name in names:
        assert len(talk.messages("image", name)) == 8


def test_old_pictures_make_room_and_what_is_not_ours_does_not(
    bridge: StartBridge, board: Boards, talk: Talk, small_disk: Path
) -> None:
    bridge(
        {"door": old(board(size=SIZE))},
        storage=keeping(small_disk / "captures", free=400_000, latest=False),
    )
    paths = [Path(is_saved(talk, f"{number}")["path"]) for number in range(12)]
    left = [path for path in paths if path.exists()]
    assert left == paths[-len(left) :]
    status = os.statvfs(small_disk)
    assert status.f_bavail * status.f_frsize >= 400_000 - 4096  # a file takes whole pages
    assert files(small_disk) == set(left)

    for path in left[:-1]:
        path.unlink()  # behind its back
    (small_disk / "mine").write_bytes(bytes(700_000))
    is_not_saved(talk, "no room", "0.4 MB wanted, and no older picture to delete")
    assert (small_disk / "mine").stat().st_size == 700_000
    (small_disk / "mine").unlink()
    is_saved(talk, "room")


# A disk that takes a picture and can't keep it


@pytest.fixture
def thin_disk(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A disk that believes to have 32 MiB, and what it is made of, which has 3."""

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    stuff, disk = tmp_path / "stuff", tmp_path / "thin"
    with ExitStack() as stack:
        try:
            for folder, *mount in (
                (stuff, "-t", "tmpfs", "-o", "size=3m", "tmpfs"),
                (disk, "-o", "loop", str(stuff / "image")),
            ):
                folder.mkdir()
                if folder is disk:
                    (stuff / "image").touch()
                    os.truncate(stuff / "image", 32 * 2**20)
                    run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(stuff / "image"))
                run("mount", *mount, str(folder))
                stack.callback(run, "umount", "--lazy", str(folder))
        except (OSError, subprocess.SubprocessError) as exc:
            pytest.skip(f"a disk of one's own needs mkfs.ext4, a loop device and root: {exc}")
        yield disk, stuff


def test_a_picture_that_the_disk_took_and_lost_is_not_called_saved(
    bridge: StartBridge, board: Boards, talk: Talk, thin_disk: tuple[Path, Path]
) -> None:
    disk, stuff = thin_disk
    bridge({"door": old(board(size=300_000))}, storage=keeping(disk / "captures", latest=False))
    is_saved(talk, "before")
    fill(stuff, disk)
    before = files(disk)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    assert free > 10 * 300_000  # so it says
    is_not_saved(talk, "lost", "cannot save")
    assert files(disk) == before
    (stuff / "mine").unlink()
    is_saved(talk, "afterwards")
