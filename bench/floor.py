"""The floor: a program that only decompresses and compresses.

    python floor.py INPUT.gz WORKERS LEVEL TEXT…

It decompresses the input once and compresses the text of the outputs once, in segments, with the pipeline's codec and
level. It has as many threads as the pipeline has workers (zlib-ng does not hold the GIL). It reads the texts from plain
files in the page cache, and writes nothing.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from oldump.engine.segments import SEGMENT_BYTES, compressed, index_path, read_index, read_segment
from oldump.engine.text_stream import decompressed


def main(source: Path, workers: int, level: int, texts: list[Path]) -> None:
    """Decompress the source and compress the texts."""
    with ThreadPoolExecutor(workers) as pool:
        if index_path(source).exists():
            reading = [pool.submit(read_segment, source, entry) for entry in read_index(source)]
        else:
            reading = [pool.submit(_read_through, source)]
        compressing = [
            pool.submit(_compress, text, offset, level)
            for text in texts
            for offset in range(0, text.stat().st_size, SEGMENT_BYTES)
        ]
        for read in reading:
            read.result()
        for written in compressing:
            written.result()


def _read_through(source: Path) -> bytes:
    with source.open("rb") as stream:
        for _ in decompressed(iter(lambda: stream.read(1 << 18), b""), str(source)):
            pass
    return b""


def _compress(text: Path, offset: int, level: int) -> None:
    with text.open("rb") as stream:
        stream.seek(offset)
        compressed(stream.read(SEGMENT_BYTES), first_key=b"", records=0, level=level)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [Path(name) for name in sys.argv[4:]])
