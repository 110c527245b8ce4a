"""The old commands index, sitemaps and htmlindex, in pipes and killed in the middle."""

import gzip
import json
import os
import signal
from pathlib import Path

from commands.command import bash, failed, oldump, started
from commands.processes import wait_for
from crawler import crawled, locations, sitemaps_of

WORKS = 300
RANGES = 3


def dump_of(works: int, title: str) -> bytes:
    """Return a dump of this many works with this title."""
    text = json.dumps({"title": title})
    lines = (f"/type/work\t/works/OL{n}W\t1\t2010-04-30T20:50:18.033121\t{text}\n" for n in range(1, works + 1))
    return "".join(lines).encode()


def test_the_old_commands_give_the_same_pages(tmp_path: Path) -> None:
    """With their old arguments, from files and from standard input."""
    (tmp_path / "dump.txt.gz").write_bytes(gzip.compress(dump_of(WORKS, "A title")))
    for line in (
        "zcat dump.txt.gz | $OLDUMP index | gzip -c > index.txt.gz",
        "$OLDUMP sitemaps index.txt.gz sitemaps new",
        "zcat dump.txt.gz | $OLDUMP sitemaps - of_dump --base-url http://localhost:8080",
        "$OLDUMP htmlindex index.txt.gz html",
    ):
        ran = bash(line, cwd=tmp_path)
        assert (ran.code, ran.out) == (0, b""), ran.err
    lines = gzip.decompress((tmp_path / "index.txt.gz").read_bytes()).splitlines()
    assert len(lines) == WORKS
    assert lines[0] == b"/works/OL1W/A_title\tA title\t-\t2010-04-30T20:50:18.033121"
    paths = [f"/works/OL{n}W/A_title" for n in range(1, WORKS + 1)]
    assert sitemaps_of(tmp_path / "sitemaps") == ["sitemap_new_works_0000.xml.gz"]
    assert locations(tmp_path / "sitemaps") == [f"https://openlibrary.org{path}" for path in paths]
    assert locations(tmp_path / "of_dump") == [f"http://localhost:8080{path}" for path in paths]
    found = {path.relative_to(tmp_path / "html").as_posix() for path in (tmp_path / "html").rglob("*.html")}
    assert found == {"index.html", "00/index.html", "00/00000.html"}


def test_each_refusal_has_its_exit_code(tmp_path: Path) -> None:
    """Records out of order have the same code as in `dump`, an invalid URL has its own. No file remains."""
    ran = oldump("sitemaps", "-", "out", cwd=tmp_path, stdin=dump_of(2, "x") + dump_of(1, "x"))
    failed(ran, 22, "line 3 (/works/OL1W) is out of order", "oldump sort")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".oldump-lock"]
    failed(oldump("sitemaps", "-", "out", "--base-url", "openlibrary", cwd=tmp_path), 2, "--base-url")


def test_after_a_kill_the_old_sitemaps_remain(tmp_path: Path) -> None:
    """SIGKILL hits when new sitemaps have been written. The next try makes all of them and leaves nothing else."""
    out, works = tmp_path / "out", RANGES * 10_000 - 1
    (tmp_path / "new").write_bytes(dump_of(works, "New"))
    assert oldump("sitemaps", "-", "out", cwd=tmp_path, stdin=dump_of(works, "Old")).code == 0
    before = crawled(out)
    assert len(before) == RANGES
    process = started("sitemaps", "-", "out", cwd=tmp_path)
    assert process.stdin is not None
    process.stdin.write((tmp_path / "new").read_bytes())  # the command waits for more input
    process.stdin.flush()
    assert wait_for(lambda: len(list(out.glob(".oldump-making/*"))) > 1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert (out / ".oldump-making").is_dir()
    assert crawled(out) == before
    assert oldump("sitemaps", "new", "out", cwd=tmp_path).code == 0
    assert set(crawled(out)) == set(before)
    assert all(location.endswith("/New") for location in locations(out))
    assert not (out / ".oldump-making").exists()
