"""Make DIR/data.txt.gz, seekable, of a plain file: what extract would make."""

import sys
from functools import partial
from pathlib import Path

from oldump.engine.segments import Pressing, SegmentWriter, segment_of, segment_texts
from oldump.stages.extract import LEVEL

if __name__ == "__main__":
    press = partial(segment_of, first_key_at=0, level=LEVEL)
    with (
        Path(sys.argv[1]).open("rb") as stream,
        SegmentWriter(Path(sys.argv[2]) / "data.txt.gz") as writer,
        Pressing(2, press) as pressing,
    ):
        for text in segment_texts(iter(lambda: b"".join(stream.readlines(1 << 18)), b"")):
            pressing.add(text, writer)
        pressing.finish()
        writer.commit()
