"""Compress a plain file to DIR/data.txt.gz with an index, as extract does: `seekable.py FILE DIR`."""

import sys
from functools import partial
from pathlib import Path

from oldump.engine.segment_writer import Compressing, SegmentWriter
from oldump.engine.segments import QUICK, segment_of, segment_texts

if __name__ == "__main__":
    compress = partial(segment_of, first_key_at=0, level=QUICK)
    with (
        Path(sys.argv[1]).open("rb") as stream,
        SegmentWriter(Path(sys.argv[2]) / "data.txt.gz") as writer,
        Compressing(2, compress) as compressing,
    ):
        for text in segment_texts(iter(lambda: b"".join(stream.readlines(1 << 18)), b"")):
            compressing.add(text, writer)
        compressing.finish()
        writer.commit()
