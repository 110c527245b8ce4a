"""Seekable gzip: its format, its index, the ends of segments, and damage."""

import gzip
import hashlib
import subprocess
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from oldump.engine.commit import TEMPORARY_SUFFIX
from oldump.engine.segment_writer import BEGINNING, SegmentWriter, Written
from oldump.engine.segments import (
    INDEX_COLUMNS,
    QUICK,
    SEGMENT_BYTES,
    IndexEntry,
    Segment,
    cuts,
    index_path,
    read_index,
    read_segment,
    segment_of,
    segment_texts,
)
from oldump.errors import OldumpError, SourceDamaged, SourceMissing, StorageError

TEXTS = [
    b"".join(b"/type/work\t/works/OL%dW\t1\n" % number for number in range(1, 2000)),
    b"/type/work\t/works/OL2000W\t7\n",
    b"".join(b"/type/page\t/caf\xc3\xa9/%d\t1\n" % number for number in range(500)),
]
KEY_COLUMN = 1


def write(path: Path, texts: Iterable[bytes], level: int = 6) -> Written:
    """Write and commit a file with one segment per text."""
    with SegmentWriter(path) as writer:
        for text in texts:
            writer.append(segment_of(text, KEY_COLUMN, level))
        return writer.commit()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for a file, in an empty folder."""
    return tmp_path / "a.txt.gz"


# Any reader


@pytest.mark.parametrize("level", [QUICK, 1, 5, 6, 9])
@pytest.mark.parametrize("texts", [[], TEXTS[:1], TEXTS], ids=["empty", "one segment", "three segments"])
def test_any_gzip_reader_reads_it(path: Path, texts: list[bytes], level: int) -> None:
    """gzip(1) and Python's gzip read the whole text without errors, also if it is empty."""
    write(path, texts, level)
    subprocess.run(["gzip", "-t", path], check=True)
    assert subprocess.run(["zcat", path], check=True, capture_output=True).stdout == b"".join(texts)
    assert gzip.decompress(path.read_bytes()) == b"".join(texts)


@pytest.mark.parametrize("texts", [[], TEXTS], ids=["empty", "three segments"])
def test_it_is_one_member(path: Path, texts: list[bytes]) -> None:
    """A reader that stops after the first member reads everything, including checksum and length."""
    write(path, texts)
    member = zlib.decompressobj(31)
    assert member.decompress(path.read_bytes()) == b"".join(texts)
    assert member.eof
    assert member.unused_data == b""


def test_the_header_has_no_name_and_no_time(path: Path) -> None:
    """RFC 1952: deflate, no flags (so no name and no comment), no time, unknown operating system."""
    write(path, TEXTS)
    assert path.read_bytes()[:10] == b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"


def test_the_trailer_is_combined_from_the_segments(path: Path) -> None:
    """The file ends with the CRC-32 and the length of the whole text, which no process had in memory."""
    write(path, TEXTS)
    text = b"".join(TEXTS)
    assert path.read_bytes()[-8:] == zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


def test_commit_returns_the_figures_of_the_file(path: Path) -> None:
    """Size, digests and counts are those of the committed file."""
    written = write(path, TEXTS)
    content = path.read_bytes()
    assert written == Written(
        name="a.txt.gz",
        size_bytes=len(content),
        text_bytes=sum(map(len, TEXTS)),
        records=2500,
        segments=3,
        sha256=hashlib.sha256(content).hexdigest(),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        first_key="/works/OL1W",
    )


def test_md5_is_optional(path: Path) -> None:
    """Private files have no MD5, which costs time. Everything else is unchanged."""
    whole = write(path, TEXTS)
    with SegmentWriter(path, sums=("sha256",)) as writer:
        for text in TEXTS:
            writer.append(segment_of(text, KEY_COLUMN))
        assert writer.commit() == replace(whole, md5="")


def test_the_same_segments_give_the_same_bytes(tmp_path: Path) -> None:
    """The file contains neither its name nor the time of writing."""
    written = [write(tmp_path / name, TEXTS) for name in ("a.txt.gz", "b.txt.gz")]
    assert written[0].sha256 == written[1].sha256


# The index


def test_each_segment_is_read_alone_by_its_line_of_the_index(path: Path) -> None:
    """The columns match the header. The bytes at the offset are a raw deflate stream of exactly these lines."""
    write(path, TEXTS)
    content = path.read_bytes()
    header, *lines = index_path(path).read_text("utf-8").splitlines()
    assert header == INDEX_COLUMNS
    assert len(lines) == len(TEXTS)
    for text, line in zip(TEXTS, lines, strict=True):
        first_key, records, offset, size_bytes, text_bytes, crc32 = line.split("\t")
        data = content[int(offset) : int(offset) + int(size_bytes)]
        assert zlib.decompressobj(-15).decompress(data) == text
        assert first_key == text.split(b"\t", 2)[1].decode()
        assert int(records) == text.count(b"\n")
        assert int(text_bytes) == len(text)
        assert crc32 == f"{zlib.crc32(text):08x}"


def test_segments_follow_each_other_without_gaps(path: Path) -> None:
    """The file consists of header, segments and the ten bytes of the end."""
    write(path, TEXTS)
    place = 10
    for entry in read_index(path):
        assert entry.offset == place
        place += entry.size_bytes
    assert place + 10 == path.stat().st_size


def test_segments_are_read_in_any_order(path: Path) -> None:
    """A segment does not depend on earlier ones."""
    write(path, TEXTS)
    assert [read_segment(path, entry) for entry in reversed(read_index(path))] == TEXTS[::-1]


def test_an_empty_file_has_an_empty_index(path: Path) -> None:
    """It consists of its header."""
    written = write(path, [])
    assert (written.records, written.segments, written.text_bytes, written.first_key) == (0, 0, 0, None)
    assert index_path(path).read_text() == INDEX_COLUMNS + "\n"
    assert read_index(path) == []


@given(st.lists(st.text(st.sampled_from("a/\r\v\x1c\x85\u00e9\u2028"), max_size=8), min_size=1, max_size=5))
@settings(deadline=None, max_examples=examples(50))
def test_the_index_preserves_any_first_key(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    """Keys may contain any characters except tab and newline, also carriage returns and other line separators."""
    path = tmp_path_factory.mktemp("index") / "a.gz"
    with SegmentWriter(path) as writer:
        for key in keys:
            writer.append(segment_of(key.encode() + b"\tx\n", first_key_at=0))
        written = writer.commit()
    assert [entry.first_key.decode() for entry in read_index(path)] == keys
    assert written.first_key == keys[0]


# Splicing


def spliced(path: Path, sources: list[Path]) -> Written:
    """Splice these files and commit the result."""
    with SegmentWriter(path) as writer:
        for source in sources:
            list(writer.splice(source))
        return writer.commit()


def test_a_spliced_file_is_the_one_with_all_segments(tmp_path: Path) -> None:
    """File and index have the same bytes as a file to which the same segments were appended.

    So its text is the texts one after another, and nothing shows that it was spliced. It is not the file that would be
    made of the whole text at once: segments end where the parts did.
    """
    parts = [tmp_path / "a.gz", tmp_path / "none.gz", tmp_path / "b.gz"]
    for part, texts in zip(parts, (TEXTS[:2], [], TEXTS[2:]), strict=True):
        write(part, texts)
    at_once = write(tmp_path / "at once.gz", TEXTS)
    written = spliced(tmp_path / "spliced.gz", parts)
    assert written.sha256 == at_once.sha256
    assert written.records == at_once.records
    assert index_path(tmp_path / "spliced.gz").read_bytes() == index_path(tmp_path / "at once.gz").read_bytes()
    assert gzip.decompress((tmp_path / "spliced.gz").read_bytes()) == b"".join(TEXTS)
    subprocess.run(["gzip", "-t", tmp_path / "spliced.gz"], check=True)


def test_splicing_nothing_gives_the_empty_file(tmp_path: Path) -> None:
    """The dump of a run without records is valid gzip."""
    write(tmp_path / "none.gz", [])
    spliced(tmp_path / "a.gz", [tmp_path / "none.gz"] * 2)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "none.gz").read_bytes()


def test_splicing_a_missing_file_names_it(tmp_path: Path) -> None:
    """A missing part raises an error with its path. No file is left."""
    with pytest.raises(StorageError, match=r"gone\.gz"):
        spliced(tmp_path / "a.gz", [tmp_path / "gone.gz"])
    assert list(tmp_path.iterdir()) == []


def test_splicing_a_truncated_file_is_refused(tmp_path: Path) -> None:
    """A truncated part does not match its index."""
    part = tmp_path / "part.gz"
    write(part, TEXTS)
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(SourceDamaged, match=r"part\.gz"):
        spliced(tmp_path / "a.gz", [part])
    assert not (tmp_path / "a.gz").exists()


# Where segments end


def packed(lengths: list[int]) -> list[list[int]]:
    """A simple greedy packer: a line goes into the open segment, or into a new one if it does not fit."""
    segments: list[list[int]] = []
    for length in lengths:
        if segments and sum(segments[-1]) + length <= SEGMENT_BYTES:
            segments[-1].append(length)
        else:
            segments.append([length])
    return segments


_LENGTHS = st.one_of(
    st.integers(1, 3 * SEGMENT_BYTES),
    st.sampled_from((1, 2, SEGMENT_BYTES // 2, SEGMENT_BYTES // 2 + 1)),
    st.sampled_from((SEGMENT_BYTES - 2, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 5 * SEGMENT_BYTES)),
)


def lengths_of(lines: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the lengths as an array."""
    return np.fromiter(lines, np.int64, len(lines))


@given(st.lists(st.lists(_LENGTHS, max_size=6), max_size=6))
@settings(deadline=None, max_examples=examples(250))
def test_cuts_are_those_of_a_greedy_packer(calls: list[list[int]]) -> None:
    """For lines of any length, also longer than a segment, and for any division into calls, also empty ones."""
    closed: list[list[int]] = []
    held: list[int] = []
    for lengths in calls:
        start = 0
        for border in cuts(lengths_of(lengths), sum(held)):
            closed.append(held + lengths[start:border])
            held, start = [], border
        held = held + lengths[start:]
    everything = [length for lengths in calls for length in lengths]
    assert closed + [held] * bool(held) == packed(everything)


@given(st.lists(st.integers(1, 1000), max_size=4000), st.integers(0, SEGMENT_BYTES))
@settings(deadline=None, max_examples=examples(30))
def test_cuts_of_many_short_lines(lengths: list[int], open_bytes: int) -> None:
    """The first border closes the open segment. Every segment is as full as its next line allows."""
    borders = cuts(lengths_of(lengths), open_bytes)
    segments = packed(([open_bytes] if open_bytes else []) + lengths)
    ends = np.cumsum([len(segment) for segment in segments]).tolist()[:-1]
    assert borders == [end - bool(open_bytes) for end in ends]


@given(st.data())
@settings(deadline=None, max_examples=examples(40))
def test_segment_texts_are_those_of_a_greedy_packer(data: st.DataObject) -> None:
    """The lines are unchanged, and the borders of segments depend on the lines alone, not on the pieces."""
    lengths = data.draw(st.lists(_LENGTHS, max_size=8))
    borders = data.draw(st.lists(st.integers(0, len(lengths)), max_size=4).map(sorted))
    lines = [bytes([97 + place]) * (length - 1) + b"\n" for place, length in enumerate(lengths)]
    pieces = [b"".join(lines[start:end]) for start, end in zip([0, *borders], [*borders, len(lines)], strict=True)]
    texts = list(segment_texts(pieces))
    assert b"".join(texts) == b"".join(lines)
    assert [len(text) for text in texts] == [sum(segment) for segment in packed(lengths)]


def test_a_line_longer_than_a_segment_has_one_to_itself() -> None:
    """It is not cut, and no other line is added."""
    long = b"x" * (SEGMENT_BYTES + 5) + b"\n"
    assert list(segment_texts([b"a\n" + long + b"b\n", b"c\n"])) == [b"a\n", long, b"b\nc\n"]


# Damage: each check has its damaged twin


@pytest.fixture
def whole(path: Path) -> Path:
    """Return an undamaged file with its index."""
    write(path, TEXTS)
    return path


def test_a_flipped_bit_in_a_segment_is_found(whole: Path) -> None:
    """At any position: no changed text is returned, and the error names the file and the position."""
    entry = read_index(whole)[0]
    content = whole.read_bytes()
    for place in range(entry.offset, entry.offset + entry.size_bytes, 97):
        whole.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        with pytest.raises(SourceDamaged, match=rf"{whole.name}.*segment at byte {entry.offset}"):
            read_segment(whole, entry)


def test_a_truncated_file_does_not_fit_its_index(whole: Path) -> None:
    """This is detected without reading the file. The error names both."""
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(SourceDamaged, match=r"a\.txt\.gz\.index.* a\.txt\.gz"):
        read_index(whole)


def test_a_segment_after_the_end_is_damaged(whole: Path) -> None:
    """The file is truncated after its index is read."""
    entry = read_index(whole)[2]
    whole.write_bytes(whole.read_bytes()[: entry.offset + 3])
    with pytest.raises(SourceDamaged, match=whole.name):
        read_segment(whole, entry)


def test_the_index_of_another_file_is_refused(whole: Path, tmp_path: Path) -> None:
    """An index of an older file of another size does not match."""
    write(tmp_path / "other.gz", TEXTS[:2])
    index_path(tmp_path / "other.gz").replace(index_path(whole))
    with pytest.raises(SourceDamaged, match=r"a\.txt\.gz\.index: does not fit"):
        read_index(whole)


def test_the_index_of_another_file_of_the_same_size_is_found(whole: Path, tmp_path: Path) -> None:
    """The size matches but the segments do not: no wrong text is returned."""
    other = tmp_path / "other.gz"
    write(other, TEXTS[::-1])
    assert other.stat().st_size == whole.stat().st_size
    index_path(other).replace(index_path(whole))
    with pytest.raises(SourceDamaged, match=r"a\.txt\.gz\.index: does not fit"):
        read_index(whole)


def _without(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at + 1 :]


def _doubled(lines: list[bytes], at: int) -> list[bytes]:
    return lines[: at + 1] + lines[at:]


def _swapped(lines: list[bytes], at: int) -> list[bytes]:
    return lines[:at] + lines[at : at + 2][::-1] + lines[at + 2 :]


def _joined(lines: list[bytes], at: int) -> list[bytes]:
    """Join two entries, so the segments are still contiguous."""
    first, second = (line.split(b"\t") for line in lines[at : at + 2])
    sums = [b"%d" % (int(first[place]) + int(second[place])) for place in (3, 4)]
    return [*lines[:at], b"\t".join([*first[:3], *sums, first[5]]), *lines[at + 2 :]]


def _wrong_number(lines: list[bytes], at: int) -> list[bytes]:
    *columns, crc32 = lines[at].split(b"\t")
    return [*lines[:at], b"\t".join([*columns, crc32[:-1] + (b"1" if crc32[-1:] == b"0" else b"0")]), *lines[at + 1 :]]


def _negative(lines: list[bytes], at: int) -> list[bytes]:
    columns = lines[at].split(b"\t")
    return [*lines[:at], b"\t".join([*columns[:4], b"-1", columns[5]]), *lines[at + 1 :]]


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("harm", [_without, _doubled, _swapped, _joined, _wrong_number, _negative])
def test_an_index_that_leaves_out_or_repeats_text_is_refused(
    whole: Path, harm: Callable[[list[bytes], int], list[bytes]], at: int
) -> None:
    """The index is compared with the file's trailer, so no row is lost or read twice."""
    lines = index_path(whole).read_bytes().splitlines()
    assert len(lines) == 4
    index_path(whole).write_bytes(b"\n".join(harm(lines, at)) + b"\n")
    with pytest.raises(SourceDamaged, match=r"a\.txt\.gz\.index: .* Delete it"):
        read_index(whole)


def _wrong_crc(entry: IndexEntry) -> IndexEntry:
    return entry._replace(crc32=entry.crc32 ^ 1)


def _wrong_length(entry: IndexEntry) -> IndexEntry:
    return entry._replace(text_bytes=entry.text_bytes + 1)


def _wrong_offset(entry: IndexEntry) -> IndexEntry:
    return entry._replace(offset=entry.offset + 1)


@pytest.mark.parametrize("wrong", [_wrong_crc, _wrong_length, _wrong_offset])
def test_a_wrong_line_of_the_index_is_found(whole: Path, wrong: Callable[[IndexEntry], IndexEntry]) -> None:
    """CRC, length and offset are compared with the text."""
    with pytest.raises(SourceDamaged, match=whole.name):
        read_segment(whole, wrong(read_index(whole)[1]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\xff\xfe\x00",
        b"first_key\trecords\n",
        INDEX_COLUMNS.encode() + b"\n/works/OL1W\t1\t10\n",
        INDEX_COLUMNS.encode() + b"\n/works/OL1W\t1\tten\t20\t30\t0123abcd\n",
        INDEX_COLUMNS.encode() + b"\n",
        bytes(range(256)) * 10,
    ],
    ids=["empty", "newline", "no text", "other columns", "few columns", "no number", "no segments", "bytes"],
)
def test_an_invalid_index_is_rejected(whole: Path, content: bytes) -> None:
    """Any other content of the index file raises an error with its path and a hint."""
    index_path(whole).write_bytes(content)
    with pytest.raises(SourceDamaged, match=r"a\.txt\.gz\.index: .* Delete it"):
        read_index(whole)


@pytest.mark.parametrize("missing", ["a.txt.gz", "a.txt.gz.index"])
def test_a_missing_file_is_named(whole: Path, missing: str) -> None:
    """The error names the missing file, or its index."""
    whole.with_name(missing).unlink()
    with pytest.raises(SourceMissing, match=rf"{missing}: "):
        read_index(whole)


def test_a_folder_instead_of_the_index_is_named(whole: Path) -> None:
    """If the operating system cannot read it, this is an error with a message, not a bug."""
    index_path(whole).unlink()
    index_path(whole).mkdir()
    with pytest.raises(OldumpError, match=r"a\.txt\.gz\.index"):
        read_index(whole)


# Going on where a file was left


def test_a_resumed_file_is_the_same(path: Path, tmp_path: Path) -> None:
    """After each of its segments: later bytes are cut off, and the digests are those of the whole file."""
    at_once = write(tmp_path / "at once.gz", TEXTS)
    position = BEGINNING
    for text in TEXTS:
        with pytest.raises(KeyError), SegmentWriter(path, position) as writer:  # noqa: PT012 - what is written matters
            writer.append(segment_of(text, KEY_COLUMN))
            position = writer.reached()
            writer.append(segment_of(TEXTS[0], KEY_COLUMN))
            raise KeyError
    with SegmentWriter(path, position) as writer:
        written = writer.commit()
    assert replace(written, name=at_once.name) == at_once
    assert index_path(path).read_bytes() == index_path(tmp_path / "at once.gz").read_bytes()
    assert path.read_bytes() == (tmp_path / "at once.gz").read_bytes()


def test_a_file_is_resumed_after_its_commit(path: Path) -> None:
    """The stage was stopped after the file got its final name: the file loses the name and its end."""
    with SegmentWriter(path) as writer:
        writer.append(segment_of(TEXTS[0], KEY_COLUMN))
        position = writer.reached()
        writer.commit()
    with SegmentWriter(path, position) as writer:
        assert not path.exists()
        writer.append(segment_of(TEXTS[1], KEY_COLUMN))
        writer.commit()
    assert gzip.decompress(path.read_bytes()) == TEXTS[0] + TEXTS[1]


# Nothing has its final name before it is whole


def test_nothing_has_its_name_before_commit(path: Path) -> None:
    """Until commit, only the temporary files exist. Without commit, no file is left."""
    with SegmentWriter(path) as writer:
        writer.append(segment_of(TEXTS[0], KEY_COLUMN))
        names = {f"{each.name}{TEMPORARY_SUFFIX}" for each in (path, index_path(path))}
        assert {each.name for each in path.parent.iterdir()} == names
    assert list(path.parent.iterdir()) == []


def test_an_exception_leaves_nothing(path: Path) -> None:
    """Any exception that leaves the `with` block."""
    with pytest.raises(KeyError), SegmentWriter(path) as writer:  # noqa: PT012 - what is written is part of the case
        writer.append(segment_of(TEXTS[0], KEY_COLUMN))
        raise KeyError
    assert list(path.parent.iterdir()) == []


def test_an_exception_keeps_the_earlier_file(whole: Path) -> None:
    """An existing file of that name stays unchanged, with its index."""
    before = {each.name: each.read_bytes() for each in whole.parent.iterdir()}
    with pytest.raises(KeyError), SegmentWriter(whole) as writer:  # noqa: PT012 - what is written is part of the case
        writer.append(segment_of(TEXTS[1], KEY_COLUMN))
        raise KeyError
    assert {each.name: each.read_bytes() for each in whole.parent.iterdir()} == before


def test_commit_replaces_the_earlier_file(whole: Path) -> None:
    """Afterwards only the new file and its index exist."""
    write(whole, TEXTS[1:2])
    assert gzip.decompress(whole.read_bytes()) == TEXTS[1]
    assert [entry.first_key for entry in read_index(whole)] == [b"/works/OL2000W"]
    assert len(list(whole.parent.iterdir())) == 2


def test_a_segment_of_lines_knows_its_first_key_and_its_records() -> None:
    """The key is from the requested column, also from the last one, and also in an empty line."""
    assert segment_of(b"a\tb\tc\nd\te\tf\n", 0)[:3] == (b"a", 2, 12)
    assert segment_of(b"a\tb\tc\nd\te\tf\n", 2)[:3] == (b"c", 2, 12)
    assert segment_of(b"\n", 0)[:4] == (b"", 1, 1, zlib.crc32(b"\n"))
    assert isinstance(segment_of(b"\n", 0), Segment)
