"""Blocks of complete lines: every compression gives the same text, and damage is reported."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from oldump.engine.blocks import ByteRange, Segmented, Shared, SharedMemory, Source
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import index_path, segment_of, segment_texts
from oldump.engine.text_stream import BLOCK_BYTES, decompressed, whole_lines
from oldump.errors import SourceDamaged, SourceError, SourceMissing

# Lines of many lengths, 13 MB in all; one is longer than a block, one longer than a slot of shared memory.
LINES = [b"%d\t" % number + b"x" * (number * 7919 % 2000) for number in range(9000)]
LINES[1000] = b"long\t" + b"y" * (BLOCK_BYTES + 77)
LINES[2000] = b"very long\t" + b"z" * (3 * BLOCK_BYTES)
TEXT = b"\n".join(LINES) + b"\n"


def blocks_of(path: Path | None) -> list[bytes]:
    """Return the texts of all blocks. Their slots are freed at once."""
    memory = SharedMemory(4)
    source = Source(path, memory)
    texts = []
    for block in source.blocks():
        texts.append(source.text(block.content))
        memory.free(block.content)
    return texts


def plain(path: Path, text: bytes) -> None:
    """Return the text unchanged."""
    path.write_bytes(text)


def one_member(path: Path, text: bytes) -> None:
    """Return the text compressed as by gzip(1)."""
    path.write_bytes(gzip.compress(text, 1))


def many_members(path: Path, text: bytes) -> None:
    """Return concatenated gzip members that end in the middle of lines."""
    step = 300_007
    path.write_bytes(b"".join(gzip.compress(text[at : at + step], 1) for at in range(0, len(text), step)))


def padded(path: Path, text: bytes) -> None:
    """Return gzip members with zero padding between and after them, as on tape."""
    half = len(text) // 2
    path.write_bytes(gzip.compress(text[:half], 1) + bytes(700) + gzip.compress(text[half:], 1) + bytes(1 << 19))


def seekable(path: Path, text: bytes) -> None:
    """Return the text as oldump's seekable gzip."""
    whole = text if text.endswith(b"\n") or not text else text + b"\n"
    with SegmentWriter(path) as writer:
        for each in segment_texts([whole]):
            writer.append(segment_of(each, 0, 1))
        writer.commit()


def without_index(path: Path, text: bytes) -> None:
    """Return seekable gzip without its index."""
    seekable(path, text)
    index_path(path).unlink()


FORMS = [plain, one_member, many_members, padded, seekable, without_index]
Form = Callable[[Path, bytes], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a path for the source."""
    return tmp_path / "data.txt"


@pytest.mark.parametrize("form", FORMS)
def test_the_blocks_are_the_text(path: Path, form: Form) -> None:
    """All of it, once and in order. Blocks end at line ends, and long lines are not cut."""
    form(path, TEXT)
    texts = blocks_of(path)
    assert b"".join(texts) == TEXT
    assert all(text.endswith(b"\n") for text in texts)
    assert len(texts) > 3


@pytest.mark.parametrize("form", FORMS)
def test_blocks_are_about_as_long_as_they_should_be(path: Path, form: Form) -> None:
    """Also if few compressed bytes are a very long text. Only a longer line makes a larger block."""
    form(path, TEXT + (b"0" * 99 + b"\n") * 200_000)
    assert all(len(text) <= 2 * BLOCK_BYTES or b"z" * BLOCK_BYTES in text for text in blocks_of(path))


@pytest.mark.parametrize("form", [plain, one_member, many_members, without_index])
def test_the_last_line_needs_no_newline(path: Path, form: Form) -> None:
    """It is a line like the others, and no newline is added."""
    form(path, TEXT + b"the end")
    texts = blocks_of(path)
    if form is without_index:
        assert b"".join(texts) == TEXT + b"the end\n"
    else:
        assert b"".join(texts) == TEXT + b"the end"
    assert all(text.endswith(b"\n") for text in texts[:-1])


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_file_has_no_blocks(path: Path, form: Form) -> None:
    """Whatever its format."""
    form(path, b"")
    assert blocks_of(path) == []


@pytest.mark.parametrize("text", [b"\n", b"x", b"\n\n\n", b"\x1f\n", b"a\r\nb"])
@pytest.mark.parametrize("form", [plain, one_member, many_members])
def test_tiny_texts(path: Path, form: Form, text: bytes) -> None:
    """Only newlines, a line without one, a text that starts like gzip, carriage returns."""
    form(path, text)
    assert b"".join(blocks_of(path)) == text


@pytest.mark.parametrize(("form", "content"), [(plain, ByteRange), (seekable, Segmented)])
def test_workers_read_plain_and_seekable_files_themselves(path: Path, form: Form, content: type) -> None:
    """The leader does not read the text."""
    form(path, TEXT)
    source = Source(path, SharedMemory(1))
    assert source.reads_itself
    assert {type(block.content) for block in source.blocks()} == {content}


def test_other_gzip_comes_through_shared_memory(path: Path) -> None:
    """A block that is longer than a slot is sent as a message instead."""
    one_member(path, TEXT)
    source = Source(path, SharedMemory(16))
    assert not source.reads_itself
    assert {type(block.content) for block in source.blocks()} == {Shared, bytes}


@pytest.mark.parametrize("form", FORMS)
def test_positions_increase_to_the_size_of_the_file(path: Path, form: Form) -> None:
    """Progress counts bytes of the stored file, from 0 to its size."""
    form(path, TEXT)
    memory = SharedMemory(16)
    source = Source(path, memory)
    positions = [block.position_bytes for block in source.blocks()]
    assert positions == sorted(positions)
    assert source.size_bytes == path.stat().st_size
    assert source.size_bytes - (1 << 19) - 700 <= positions[-1] <= source.size_bytes


def test_few_slots_are_enough(path: Path) -> None:
    """A reader that frees each block needs no more memory for a longer file."""
    many_members(path, b"".join(b"%d\n" % number * 50 for number in range(100_000)))
    memory = SharedMemory(2, slot_bytes=3 * BLOCK_BYTES // 2)
    source = Source(path, memory)
    lines = 0
    for block in source.blocks():
        lines += source.text(block.content).count(b"\n")
        memory.free(block.content)
    assert lines == 5_000_000


@given(st.lists(st.sampled_from((b"", b"\n", b"a", b"bc\n", b"d\ne", b"x" * 700_000, b"y" * 500_000 + b"\nz"))))
@settings(deadline=None, max_examples=examples(100))
def test_whole_lines_of_any_pieces(pieces: list[bytes]) -> None:
    """However the input is cut, all blocks except the last end with a newline, and none is empty."""
    blocks = list(whole_lines(iter(pieces), "pieces"))
    assert b"".join(blocks) == b"".join(pieces)
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(blocks)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(1, 60), st.integers(0, 40))
@settings(deadline=None, max_examples=examples(200))
def test_decompressed_in_any_chunks(members: list[bytes], chunk_bytes: int, zeros: int) -> None:
    """Members, padding and chunks may end anywhere. Only the first magic number must not be cut."""
    content = (b"\0" * zeros).join(map(gzip.compress, members))
    chunks = [content[: max(chunk_bytes, 2)]]
    rest = content[len(chunks[0]) :]
    chunks += [rest[at : at + chunk_bytes] for at in range(0, len(rest), chunk_bytes)]
    assert b"".join(decompressed(iter(chunks), "chunks")) == b"".join(members)


# What can be read only once


READ_STDIN = """
import sys
from oldump.engine.blocks import SharedMemory, Source
memory = SharedMemory(4)
source = Source(None, memory)
assert source.name == "standard input" and source.size_bytes is None
for block in source.blocks():
    sys.stdout.buffer.write(source.text(block.content))
    memory.free(block.content)
"""


def read_stdin(chunks: list[bytes]) -> bytes:
    """Return what a process reads from standard input, to which these chunks are written one by one."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", READ_STDIN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        text: list[bytes] = []
        reading = threading.Thread(target=lambda out: text.append(out.read()), args=(process.stdout,))
        reading.start()
        for chunk in chunks:
            process.stdin.write(chunk)
            process.stdin.flush()
        process.stdin.close()
        reading.join()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0
    return text[0]


@pytest.mark.parametrize("form", [plain, one_member, many_members, seekable])
def test_standard_input(path: Path, form: Form) -> None:
    """Every format works through a pipe. Nothing is written to standard error, even if warnings are errors."""
    form(path, TEXT)
    assert read_stdin([path.read_bytes()]) == TEXT


@pytest.mark.parametrize("form", [plain, one_member])
def test_standard_input_in_single_bytes(path: Path, form: Form) -> None:
    """Gzip is recognized even if the first byte arrives alone."""
    form(path, b"a\nb\n")
    content = path.read_bytes()
    assert read_stdin([content[at : at + 1] for at in range(len(content))]) == b"a\nb\n"


@pytest.mark.parametrize("form", [plain, one_member, seekable])
def test_a_named_pipe(path: Path, tmp_path: Path, form: Form) -> None:
    """A path may be a pipe, as in `oldump cdump <(pg_dump …)`. Detecting its format loses no data."""
    form(path, TEXT)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', path, pipe]) as writer:
        assert b"".join(blocks_of(pipe)) == TEXT
        assert writer.wait(20) == 0


@pytest.mark.parametrize("form", [plain, one_member])
def test_a_stream_says_when_a_block_is_there(path: Path, tmp_path: Path, form: Form) -> None:
    """Nothing while the pipe is silent, then each block, then the end. The caller can wait for other events too."""
    form(path, TEXT)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    source = Source(pipe, SharedMemory(32))
    arrivals = source.arrivals
    assert arrivals is not None
    assert not arrivals.poll(0.1)
    blocks = source.blocks()
    texts: list[bytes] = []
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', path, pipe]):
        while arrivals.poll(20) and (block := next(blocks, None)):
            texts.append(source.text(block.content))
    assert b"".join(texts) == TEXT
    assert not arrivals.poll()


@pytest.mark.parametrize("form", [plain, seekable])
def test_files_that_workers_read_need_no_waiting(path: Path, form: Form) -> None:
    """Their blocks are available at once."""
    form(path, TEXT)
    assert Source(path, SharedMemory(1)).arrivals is None


# What cannot be read


def test_a_missing_file_is_named(path: Path) -> None:
    """The error has its path and a hint."""
    with pytest.raises(SourceMissing, match=rf"{path}: .*Check the path"):
        Source(path, SharedMemory(1))


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    """The error names it. The same goes for anything that cannot be read as a file."""
    with pytest.raises(SourceMissing, match=str(tmp_path)):
        Source(tmp_path, SharedMemory(1))


@pytest.mark.parametrize("form", [plain, one_member, seekable])
def test_a_file_deleted_meanwhile_is_named(path: Path, form: Form) -> None:
    """The file is deleted after its format is detected and before it is read."""
    form(path, TEXT)
    source = Source(path, SharedMemory(4))
    if form is seekable:
        blocks = list(source.blocks())
        path.unlink()
        with pytest.raises(SourceMissing, match=str(path)):
            source.text(blocks[0].content)
    else:
        path.unlink()
        with pytest.raises(SourceMissing, match=str(path)):
            list(source.blocks())


@pytest.mark.parametrize("form", [one_member, many_members, without_index])
@pytest.mark.parametrize("missing_bytes", [1, 4, 8, 11, 1000])
def test_truncated_gzip_is_an_error(path: Path, form: Form, missing_bytes: int) -> None:
    """For an incomplete download, the error names the file and its length, and says to download it again."""
    form(path, TEXT)
    content = path.read_bytes()[:-missing_bytes]
    path.write_bytes(content)
    with pytest.raises(SourceDamaged, match=rf"{path}.*ends in the middle.* byte {len(content):,}.*again"):
        blocks_of(path)


def test_gzip_that_is_only_a_magic_number_is_truncated(path: Path) -> None:
    """A file of two bytes is not an empty file."""
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(SourceDamaged, match="ends in the middle"):
        blocks_of(path)


@pytest.mark.parametrize("form", [one_member, many_members, without_index])
def test_a_flipped_bit_is_never_read_as_another_text(path: Path, form: Form) -> None:
    """At any position: the text is unchanged, or the error names the file and the position."""
    text = b"".join(b"%d\t%x\n" % (number, number**3) for number in range(2000))
    form(path, text)
    content = path.read_bytes()
    found = 0
    for place in [*range(24), *range(24, len(content) - 8, 211), *range(len(content) - 8, len(content))]:
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            texts = b"".join(blocks_of(path))
        except SourceDamaged as error:
            found += str(path) in str(error) and "byte" in str(error)
            continue
        assert texts == text or place < 2  # without its magic number it is no gzip, but plain text
    assert found > 20


def test_the_place_of_damage_is_near_it(path: Path) -> None:
    """The reported position is within a chunk of the damaged byte."""
    text = os.urandom(3_000_000)
    one_member(path, text)
    content = bytearray(path.read_bytes())
    content[2_000_000:2_000_008] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(SourceDamaged) as caught:
        blocks_of(path)
    place = int(str(caught.value).split("byte ")[1].split()[0].replace(",", ""))
    assert place >= 2_000_000 - (1 << 18)


@pytest.mark.parametrize("garbage", [b"garbage", b"\x1f", b"\x1f\x8b\x08", bytes(9) + b"!", b"\n"])
def test_data_after_gzip_is_damage(path: Path, garbage: bytes) -> None:
    """gzip(1) warns and continues, but a table that is followed by unknown data must not be published."""
    path.write_bytes(gzip.compress(b"a\nb\n") + garbage)
    with pytest.raises(SourceDamaged, match=rf"{path}.*byte"):
        blocks_of(path)


def _zipped(text: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.writestr("data", text)
    return path.with_suffix(".zip").read_bytes()


OTHERS: list[tuple[str, Callable[[bytes, Path], bytes]]] = [
    ("bzip2", lambda text, _: bz2.compress(text)),
    ("xz", lambda text, _: lzma.compress(text)),
    ("zstd", lambda text, _: b"\x28\xb5\x2f\xfd" + text),
    ("zip", _zipped),
    ("pg_dump", lambda text, _: b"PGDMP\x01\x0e" + text),
]


@pytest.mark.parametrize(("name", "form"), OTHERS, ids=[name for name, _ in OTHERS])
def test_another_format_is_named(path: Path, name: str, form: Callable[[bytes, Path], bytes]) -> None:
    """It is not read as a table, also if it comes through a pipe."""
    content = form(b"1\t1\t{}\n", path)
    path.write_bytes(content)
    with pytest.raises(SourceDamaged, match=rf"{path}: is {name}.*[Cc]onvert"):
        Source(path, SharedMemory(1))
    with pytest.raises(SourceDamaged, match=rf"standard input: is {name}"):
        list(decompressed(iter([content]), "standard input"))


def test_a_plain_file_that_was_cut_after_it_was_looked_at(path: Path) -> None:
    """A worker that gets less than its range raises an error."""
    plain(path, TEXT)
    source = Source(path, SharedMemory(1))
    blocks = list(source.blocks())
    os.truncate(path, 2 * BLOCK_BYTES)
    with pytest.raises(SourceDamaged, match=rf"{path}: became shorter"):
        source.text(blocks[-1].content)


def test_a_plain_file_that_is_cut_while_it_is_looked_at(path: Path) -> None:
    """The search for the line's end stops at the end of the file, and the reader of the range raises an error."""
    plain(path, TEXT)
    source = Source(path, SharedMemory(1))
    blocks = source.blocks()
    next(blocks)
    os.truncate(path, BLOCK_BYTES)
    last = list(blocks)[-1]
    with pytest.raises(SourceDamaged, match=rf"{path}: became shorter"):
        source.text(last.content)


def test_an_endless_line_is_rejected(path: Path) -> None:
    """A disk image or /dev/zero is rejected after 1 GiB, without reading more."""
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # a hole: nothing is on the disk, and to read it takes minutes
    with pytest.raises(SourceDamaged, match=rf"{path}: a line is longer than 1,073,741,824 bytes"):
        list(Source(path, SharedMemory(1)).blocks())


def test_a_segment_that_is_damaged_is_named(path: Path) -> None:
    """When a worker reads it."""
    seekable(path, TEXT)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=rf"{path}.*segment at byte 10\b"):
        blocks_of(path)


def test_an_index_that_does_not_fit_is_refused_at_once(path: Path) -> None:
    """Before any work is done, with a hint."""
    seekable(path, TEXT)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(SourceDamaged, match=r"\.index: does not fit .* Delete it"):
        Source(path, SharedMemory(1))
