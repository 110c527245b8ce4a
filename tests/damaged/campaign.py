"""`make damage`: single mutations of a finished run, each of which verify must detect and name.

make damage                                2,000 mutations, seed 0
make damage ARGS='--mutations 60 --seed 7'
"""

import argparse
import random
import shutil
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path

from damaged.damage import BYTES, EDITS, LINES, Damage, edit_manifest, lines_of, remake
from oldump.errors import OldumpError
from oldump.pipeline.choice import choose
from oldump.pipeline.runner import run
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.verify.stage import item_in, verify
from oldump.synth.table import copy_blocks

DAY = "2022-07-31"


def finished_run(out: Path, rows: int = 600) -> Path:
    """Make a complete run over synthetic rows and return its output folder."""
    (out / "data.txt").write_bytes(b"".join(copy_blocks(rows)))
    settings = Settings.of(source=str(out / "data.txt"), out=out, workers=1)
    run(settings, date.fromisoformat(DAY), choose([], [], settings), NoProgress())
    return out


def damaged(out: Path, chance: random.Random) -> tuple[str, Damage]:
    """Apply one mutation to a finished run; return its name and the expected finding."""
    item = item_in(out)
    files = sorted(path for path in out.glob("ol_*/*") if path.stat().st_size)
    artifacts = [path for path in files if path.name.endswith(".txt.gz")]
    choice = chance.random()
    if choice < 0.4:
        name, path = chance.choice(sorted(BYTES)), chance.choice([*artifacts, *files])
        if path.name == "manifest.json" and name == "flipped":
            name = "truncated"  # a flipped bit in the source's name is undetectable
        path.write_bytes(BYTES[name](path.read_bytes(), chance))
        return f"{name} {path.suffix}", Damage(path.name, frozenset())
    if choice < 0.5:
        path = chance.choice(files)
        path.unlink()
        return "gone", Damage(path.name, frozenset({"missing"}))
    if choice < 0.55:
        (item / "notes.txt").write_bytes(b"x")
        return "unlisted", Damage("notes.txt", frozenset({"unlisted"}))
    if choice < 0.65:
        one, other = chance.sample([path for path in artifacts if path.stat().st_size > 100], 2)
        one.write_bytes(other.read_bytes())
        return "swapped file", Damage(one.name, frozenset())
    if choice < 0.75:
        name = chance.choice(sorted(EDITS))
        edit_manifest(EDITS[name], item, chance)
        return f"manifest: {name}", Damage("manifest.json", frozenset())
    part = chance.choice(["authors", "editions", "works"])
    path = item / f"ol_dump_{part}_{DAY}.txt.gz"
    name = chance.choice(sorted(LINES))
    change, kinds = LINES[name]
    remake(path, change(lines_of(path), chance), item)
    return name, Damage(path.name, frozenset(kinds))


def overlooked(mutations: int, seed: int, folder: Path) -> tuple[list[str], Counter[str]]:
    """Return the mutations that verify does not detect and name, and the number of mutations by name."""
    intact = finished_run(folder)
    assert not verify(item_in(intact), 1, 256 << 20, NoProgress()).findings
    missed: list[str] = []
    done: Counter[str] = Counter()
    for number in range(mutations):
        chance = random.Random(f"{seed} {number}")
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(intact, copy, ignore=shutil.ignore_patterns("run-*", "copy"))
        name, damage = damaged(copy, chance)
        done[name] += 1
        try:
            shown = verify(item_in(copy), 1, 256 << 20, NoProgress()).findings.shown
            found = [(finding.kind.value, finding.file) for finding in shown]
        except OldumpError as error:
            found = [(kind, damage.file) for kind in damage.kinds or {"missing"} if damage.file in str(error)]
        named = [kind for kind, file in found if file == damage.file]
        if damage.file in {"manifest.json", "SHA256SUMS", "MD5SUMS"}:
            named += [kind for kind, _ in found if kind in {"manifest", "sums"}]
        if name == "manifest: artifact's item":
            named += [
                kind for kind, _ in found if kind == "missing"
            ]  # missing from the item that the manifest now names
        if not named or (damage.kinds and not damage.kinds & set(named)):
            missed.append(f"mutation {number}, {name}: {damage}, found {found[:5]}")
    return missed, done


def main() -> None:
    """Run the campaign and print its results."""
    parser = argparse.ArgumentParser(prog="make damage ARGS=…", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mutations", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oldump-damage-") as name:
        missed, done = overlooked(options.mutations, options.seed, Path(name))
    for kind, count in done.most_common():
        print(f"{count:>6,} {kind}")  # noqa: T201 - the campaign's output
    print(f"{done.total():,} mutations, {len(missed):,} overlooked")  # noqa: T201 - the campaign's output
    print("\n".join(missed))  # noqa: T201 - the campaign's output
    raise SystemExit(bool(missed))


if __name__ == "__main__":
    main()
