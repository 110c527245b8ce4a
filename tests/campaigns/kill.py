"""The kill campaign: runs are killed with kill -9 again and again, and what they end with is held against a quiet run.

    make faults                                200 random moments, and the commit points
    make faults ARGS='--kills 500 --seed 7'

A *try* is a run that is killed once or more, and each time goes on with the same command. After each kill, what is
published is whole. At the end all files are, byte for byte, those of a run that nothing disturbed; only the moments at
which a database was read differ. A stage that had a checkpoint has gone on from it. The first difference ends the
campaign with exit code 1; its folder stays.
"""

import argparse
import gzip
import itertools
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from campaigns.killing import PAUSE_SECONDS, Point, Run
from commands.command import DATE, private_of
from commands.forks import load
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import QUICK, segment_of, segment_texts
from oldump.outside.embedded_postgres import embedded_database
from oldump.outside.synthetic_databases import fill
from oldump.synth.table import copy_blocks

BUSY = 32
START, END = "(before the first stage)", "(behind the last stage)"
_SHORT = {"short file": 300, "overwriting": 300}
"""Rows of those cases whose runs are short, so that many commit points can be tried."""
_OF_ONE_RUN = {"history.jsonl", "journal.jsonl", "lock", "run.log", "status.json", "status.json.new"}
_OF_ONE_MOMENT = {"snapshot", "lsn", "started"}
"""What the manifest says of the moment at which a database was read."""
_SAMPLED_POINTS = 60
"""Commit points that are tried of a case whose runs are long, if nothing else is said."""
_EVENT = re.compile(r" INFO (\S+): (started|committed after|resuming after|already committed)\b")


class Case(NamedTuple):
    """A source, and all that is the same in each run from it."""

    name: str
    options: tuple[str, ...]
    folder: Path
    """Holds the undisturbed run and the tries."""
    all_points: bool = False
    """Whether each commit point is tried: the runs are short."""
    replaces: bool = False
    """Whether there is a published run, from another source, which --overwrite replaces."""

    @property
    def replaced(self) -> Path:
        """The run that is replaced."""
        return self.folder / "replaced"


class Quiet(NamedTuple):
    """What there is to know of an undisturbed run."""

    files: dict[str, bytes]
    replaced: dict[str, bytes]
    """The files of the run that it replaces."""
    spans: dict[str, float]
    """Seconds of each stage, in their order; before the first one and behind the last one too."""
    points: list[str]


@dataclass
class Tried:
    """What a try has shown."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By stage, and by what it had made."""
    went_on: Counter[str] = field(default_factory=Counter)
    """Runs that went on within a stage, by stage."""
    missed: int = 0
    """Runs that ended before they were killed."""
    refused: int = 0
    """Runs that found the killed one's workers still there."""
    at_moments: int = 0
    """Kills at random moments."""
    points: int = 0
    """Kills at commit points, before and behind each."""
    difference: str = ""

    def add(self, other: "Tried") -> None:
        """Take another one in."""
        self.kills += other.kills
        self.went_on += other.went_on
        self.missed += other.missed
        self.refused += other.refused
        self.at_moments += other.at_moments
        self.points += other.points


class Difference(Exception):
    """A killed run did not become what an undisturbed one is."""


# --------------------------------------------------------------------------------------------------- an undisturbed run


def quiet(case: Case) -> Quiet:
    """Run the case undisturbed; and again, to count the commit points apart from the seconds."""
    if case.replaces:
        _make_other(case)
    run = _quiet_run(case, "quiet")
    run.begin()
    spans, last, began = dict.fromkeys((START,), 0.0), START, time.monotonic()
    known = 0
    while not run.has_ended() or known < len(_events(run.said)):
        for stage, what in _events(run.said)[known:]:
            known += 1
            now = time.monotonic()
            if what in {"started", "committed after"}:
                spans[last] = spans.get(last, 0) + now - began
                last, began = (stage if what == "started" else END), now
        time.sleep(PAUSE_SECONDS)
    spans[END] = time.monotonic() - began
    if run.end():
        raise Difference(f"{case.name}: the undisturbed run fails:\n{run.said}")
    points = case.folder / "points"
    counting = _quiet_run(case, "counted")
    counting.begin(points=points)
    if counting.end():
        raise Difference(f"{case.name}: the run that counts commit points fails:\n{counting.said}")
    files = _files(case.folder / "quiet")
    require_same(files, _files(case.folder / "counted"))
    shutil.rmtree(case.folder / "counted")
    order = [stage for stage in spans if stage != END]
    replaced = _files(case.replaced) if case.replaces else {}
    ordered = {stage: spans[stage] for stage in (*order, END)}
    return Quiet(files, replaced, ordered, points.read_text("utf-8").splitlines())


def _quiet_run(case: Case, name: str) -> Run:
    out = case.folder / name
    _copy_replaced(case, out)
    return Run(_command(case, out, 0), case.folder, case.folder / f"{name}.log")


def _make_other(case: Case) -> None:
    """Make the run that is to be replaced."""
    source = case.folder / "replaced.txt"
    source.write_bytes(b"".join(copy_blocks(200, seed=3)))
    run = Run(("run", DATE, "--source", source, "--out", case.replaced), case.folder, case.folder / "replaced.log")
    run.begin()
    if run.end():
        raise Difference(f"{case.name}: the run to be replaced fails:\n{run.said}")


def _copy_replaced(case: Case, out: Path) -> None:
    if case.replaces:
        shutil.copytree(case.replaced, out)


def _command(case: Case, out: Path, checkpoint_seconds: float) -> list[object]:
    more = ("--workers", 2, "--memory", "245M", "--level", 1, "--checkpoint", checkpoint_seconds)
    return ["run", DATE, "--out", out, *case.options, *more, *(["--overwrite"] if _must_overwrite(case, out) else [])]


def _must_overwrite(case: Case, out: Path) -> bool:
    """Whether it is still to be said: then the run begins anew, and otherwise it goes on."""
    return case.replaces and b'"overwrite": true' not in (private_of(out) / "journal.jsonl").read_bytes()


def _events(said: str) -> list[tuple[str, str]]:
    """What a log tells of stages, in order."""
    return [(match[1], match[2]) for match in _EVENT.finditer(said)]


def _files(out: Path) -> dict[str, bytes]:
    """All files of a run but its journal, lock, log and status, by path; the manifest without moments."""
    paths = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in _OF_ONE_RUN)
    return {str(path.relative_to(out)): _content(path) for path in paths}


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    return json.dumps(_without_moments(json.loads(content))).encode() if path.name == "manifest.json" else content


def _without_moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_moments(each) for name, each in value.items() if name not in _OF_ONE_MOMENT}
    return value


def require_same(wanted: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Raise Difference, saying what differs first, and where."""
    if missing := sorted(wanted.keys() - found.keys()):
        raise Difference(f"lacks {', '.join(missing)}")
    if others := sorted(found.keys() - wanted.keys()):
        raise Difference(f"has {', '.join(others)}, which an undisturbed run has not")
    for name, content in wanted.items():
        if content != found[name]:
            pairs = enumerate(zip(content, found[name], strict=False))
            place = next((at for at, (one, other) in pairs if one != other), min(len(content), len(found[name])))
            raise Difference(
                f"{name}: differs from byte {place:,} on; {len(found[name]):,} bytes instead of {len(content):,}"
            )


# --------------------------------------------------------------------------------------------------------------- a try


class _Try:
    """A run that is killed, and goes on."""

    def __init__(self, plan: "Plan", seed: int) -> None:
        self._plan = plan
        self._wanted = plan.wanted
        self._dice = random.Random(seed)
        self._folder = plan.case.folder / f"try-{seed}"
        self._out = self._folder / "out"
        self._seconds: float = 0  # so that each commit point of a run is one of the next too
        self._runs = 0
        self._story: list[str] = []
        self._committed: set[str] = set()
        self.tried = Tried()

    def perform(self) -> None:
        """Kill at the point, if there is one, and at so many moments; then let it end. Raises Difference."""
        self._folder.mkdir()
        _copy_replaced(self._plan.case, self._out)
        try:
            if self._plan.point is not None:
                self.tried.points += self._is_killed(self._begun(self._plan.point), str(self._plan.point))
            self._seconds = self._dice.choice((0, 0.05))
            for _ in range(self._plan.kills):
                self.tried.at_moments += self._run_till_killed()
            run = self._begun()
            if run.end():
                raise Difference(f"fails with exit code {run.code}: {run.said[-2_000:]}")
            self._require_gone_on(run, is_whole=True)
            require_same(self._wanted.files, _files(self._out))
        except Difference as error:
            raise Difference(f"{self._folder}: {'; '.join(self._story)}: {error}") from error
        shutil.rmtree(self._folder)

    def _begun(self, point: Point | None = None) -> Run:
        """A run that has begun; if it is refused because the killed one's workers live, another one."""
        checkpoints = list(private_of(self._out).glob("spill/*/checkpoint"))
        self._checkpoints = {path.parent.name for path in checkpoints}
        if self._plan.is_sabotaged:
            for path in checkpoints:
                path.unlink()
        while True:
            self._runs += 1
            command = _command(self._plan.case, self._out, self._seconds)
            run = Run(command, self._folder, self._folder / f"{self._runs}.log")
            run.begin(point)
            if run.wait_for(lambda run=run: " INFO preflight: " in run.said or " INFO complete" in run.said):  # type: ignore[misc] # mypy cannot infer it
                return run
            if run.end() != BUSY:
                return run
            self.tried.refused += 1

    def _run_till_killed(self) -> bool:
        """Kill at a moment of a stage that is still to be done, by dice; whether the run had not ended before."""
        spans = self._wanted.spans
        span = self._dice.choice([stage for stage in spans if stage not in self._committed])
        last = [stage for stage in spans if stage != END][-1]
        sign = {START: "", END: f" INFO {last}: committed"}.get(span, f" INFO {span}: started")
        moment = self._dice.uniform(0, spans[span])
        run = self._begun()
        if run.wait_for(lambda: sign in run.said):
            run.wait_for(lambda: False, moment)
        if not run.has_ended():
            run.kill(leader_alone=self._dice.random() < 0.3)
        return self._is_killed(run, f"{moment:.3f} s into {span}")

    def _is_killed(self, run: Run, what: str) -> bool:
        """Whether the run was killed; in either case what is published must be whole. Raises Difference."""
        if run.end() == 0:
            self.tried.missed += 1
        elif run.code != -9:
            raise Difference(f"fails with exit code {run.code}, to be killed {what}: {run.said[-2_000:]}")
        else:
            events = _events(run.said)
            stage = _stage_at(events)
            self.tried.kills[stage, self._made()] += 1
            self._story.append(f"killed {what} ({stage}, {self._made()})")
        self._require_gone_on(run, is_whole=False)
        self._require_whole_items()
        return run.code != 0

    def _require_whole_items(self) -> None:
        """Raise Difference if an item is published that is neither the run's nor the one that it replaces."""
        found = _files(self._out)
        for item in {name.split("/")[0] for name in found if name.startswith("ol_")}:
            published, wanted, replaced = (
                {name: content for name, content in files.items() if name.startswith(f"{item}/")}
                for files in (found, self._wanted.files, self._wanted.replaced)
            )
            if published != replaced:
                require_same(wanted, published)

    def _made(self) -> str:
        """What there is of a stage that was killed."""
        private = private_of(self._out)
        if list(private.glob("spill/*/checkpoint")):
            return "has a checkpoint"
        if list(private.glob("making/*/*.part")) or list(private.glob("*.part")):
            return "writes its artifacts"
        return "spills" if list(private.glob("spill/*/*")) else "has made nothing"

    def _require_gone_on(self, run: Run, *, is_whole: bool) -> None:
        """Raise Difference if a stage began anew that had a checkpoint."""
        events = _events(run.said)
        self._committed |= {stage for stage, what in events if what.startswith("committed")}
        went_on = {stage for stage, what in events if what == "resuming after"}
        self.tried.went_on.update(went_on)
        if "the stage restarts" in run.said:
            raise Difference(f"a stage began anew that could have gone on: {run.said[-2_000:]}")
        lost = self._checkpoints - went_on - {stage for stage, what in events if what == "already committed"}
        if is_whole and lost and "complete before" not in run.said:
            raise Difference(f"{', '.join(lost)} had a checkpoint and did not go on from it")


def _stage_at(events: list[tuple[str, str]]) -> str:
    """Where a run was that has told this."""
    told = [(stage, what) for stage, what in events if what in {"started", "committed after"}]
    if not told:
        return START
    stage, what = told[-1]
    return stage if what == "started" else f"behind {stage}"


class Plan(NamedTuple):
    """A try that is still to be made."""

    case: Case
    wanted: Quiet
    point: Point | None
    kills: int
    """At random moments."""
    is_sabotaged: bool

    def performed(self, seed: int) -> Tried:
        """What the try has shown."""
        attempt = _Try(self, seed)
        try:
            attempt.perform()
        except Difference as error:
            attempt.tried.difference = str(error)
        return attempt.tried


# ------------------------------------------------------------------------------------------------------------- campaign


def _rows(rows: int) -> bytes:
    special = rows // 50
    return b"".join(copy_blocks(rows, odd_rows=special, broken_rows=special))


def _file_case(name: str, folder: Path, rows: int) -> Case:
    """A case from a file: its name says which kind."""
    folder /= name.replace(" ", "-")
    folder.mkdir()
    path = folder / "data.txt"
    text = _rows(rows)
    if name == "foreign gzip":
        path.write_bytes(gzip.compress(text, 1))
    elif name == "seekable gzip":
        path = path.with_name("data.txt.gz")
        with SegmentWriter(path) as writer:
            for each in segment_texts(iter([text])):
                writer.append(segment_of(each, 0, QUICK))
            writer.commit()
    else:
        path.write_bytes(text)
    # What is overwritten is from other rows, which the gate would not let pass.
    override = ("--override-gate", "other rows") if name == "overwriting" else ()
    return Case(name, ("--source", str(path), *override), folder, name == "short file", name == "overwriting")


@contextmanager
def _cases(folder: Path, names: list[str], rows: int) -> Iterator[list[Case]]:
    """The cases of these names, with their sources."""
    cases = [_file_case(name, folder, _SHORT.get(name, rows)) for name in names if name != "database"]
    if "database" not in names:
        yield cases
        return
    with tempfile.TemporaryDirectory(prefix="oldump-kill-") as place, embedded_database(Path(place)) as uri:
        databases = fill(uri, copy_blocks(rows // 2))
        options = (
            *("--source", databases.openlibrary),
            *("--coverstore", databases.coverstore),
            *("--archive-database", databases.archive),
        )
        (folder / "database").mkdir()
        yield [*cases, Case("database", options, folder / "database")]


def _at_moments(
    known: list[tuple[Case, Quiet]], kills: int, arguments: argparse.Namespace, dice: random.Random
) -> Iterator[Plan]:
    """Tries with so many kills at random moments, from each long case in turn."""
    long = itertools.cycle([each for each in known if each[0].name not in _SHORT] or known)
    while kills > 0:
        of_try = min(kills, dice.choice((1, 2, 3)))
        yield Plan(*next(long), None, of_try, arguments.sabotage)
        kills -= of_try


def _at_points(known: list[tuple[Case, Quiet]], arguments: argparse.Namespace, dice: random.Random) -> Iterator[Plan]:
    """A try for each commit point that is to be tried."""
    for case, wanted in known:
        every = [Point(number + 1, behind) for number in range(len(wanted.points)) for behind in (False, True)]
        if arguments.points or not case.all_points:
            every = sorted(dice.sample(every, min(len(every), arguments.points or _SAMPLED_POINTS)))
        yield from (Plan(case, wanted, point, 0, arguments.sabotage) for point in every)


def campaign(arguments: argparse.Namespace, folder: Path) -> bool:
    """Whether nothing differed. Prints what was tried."""
    load()
    began, dice = time.monotonic(), random.Random(arguments.seed)
    total, done = Tried(), 0
    with (
        _cases(folder, arguments.case, arguments.rows) as cases,
        ProcessPoolExecutor(arguments.jobs, get_context("fork")) as pool,
    ):
        known = list(zip(cases, pool.map(quiet, cases), strict=True))
        plans = list(_at_points(known, arguments, dice))
        for case, wanted in known:
            tried = sum(plan.case == case for plan in plans)
            every = len(wanted.points)
            seconds = sum(wanted.spans.values())
            print(
                f"{case.name}: {seconds:.1f} s undisturbed, {every} commit points; {tried} of {2 * every} kills at them"
            )
        seeds = itertools.count(arguments.seed * 1_000_000)
        while not total.difference and (plans or total.at_moments < arguments.kills):
            plans += _at_moments(known, arguments.kills - total.at_moments, arguments, dice)
            futures = [pool.submit(plan.performed, next(seeds)) for plan in plans]
            print(f"{len(futures)} tries", flush=True)
            plans = []
            for future in as_completed(futures):
                total.add(future.result())
                done += 1
                if done % 50 == 0:
                    print(f"{done} tries done, {time.monotonic() - began:.0f} s", flush=True)
                if future.result().difference:
                    total.difference = future.result().difference
                    pool.shutdown(cancel_futures=True)
                    break
    _report(total, done, time.monotonic() - began, arguments.seed)
    return not total.difference


def _report(total: Tried, tries: int, seconds: float, seed: int) -> None:
    print(f"\n{'stage':26}{'what there was of it':24}{'kills':>6}")
    for (stage, made), kills in sorted(total.kills.items()):
        print(f"{stage:26}{made:24}{kills:6}")
    went_on = ", ".join(f"{stage} {count}" for stage, count in sorted(total.went_on.items())) or "none"
    print(f"\nruns that went on within a stage: {total.went_on.total()} ({went_on})")
    print(f"killed at random moments: {total.at_moments}; before and behind commit points: {total.points}")
    print(f"runs that ended before they were killed: {total.missed}; refused while workers ended: {total.refused}")
    print(f"{tries} tries, {total.kills.total()} kills in {seconds:.0f} s with seed {seed}")
    print(f"DIFFERENCE: {total.difference}" if total.difference else "no difference")


CASES = ["short file", "overwriting", "foreign gzip", "seekable gzip", "database"]


def main() -> int:
    """Run the campaign as the command line asks; its exit code."""
    parser = argparse.ArgumentParser(description="Kill runs with kill -9, and see that nothing is lost.")
    parser.add_argument("--kills", type=int, default=200, help="at random moments (200)")
    parser.add_argument(
        "--points",
        type=int,
        default=0,
        help="sides of commit points, of each case; 0: all of the short file's, 60 of the others (0)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the dice (1)")
    parser.add_argument("--rows", type=int, default=6_000, help="of the tables (6000)")
    parser.add_argument("--jobs", type=int, default=2, help="tries at a time (2)")
    parser.add_argument("--case", action="append", choices=CASES, help="may be given again; all, if none is named")
    parser.add_argument("--sabotage", action="store_true", help="remove checkpoints, to see that this is noticed")
    arguments = parser.parse_args()
    arguments.case = arguments.case or CASES
    folder = Path(tempfile.mkdtemp(prefix="oldump-kill-campaign-"))
    is_whole = campaign(arguments, folder)
    if is_whole:
        shutil.rmtree(folder)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
