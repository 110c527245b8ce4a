"""The kill campaign: kill runs with SIGKILL again and again, and compare their results with an undisturbed run.

    make faults                                200 random moments, and the commit points
    make faults ARGS='--kills 500 --seed 7'

A *try* is a run that is killed at least once and resumed each time with the same command. After each kill, everything
published is complete. At the end all files equal those of an undisturbed run, byte for byte; only the times at which a
database was read differ. A stage that had a checkpoint must have resumed from it. The first difference ends the
campaign with exit code 1 and keeps its folder.
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

from campaigns.killing import PAUSE_SECONDS, SECONDS, Point, Run
from commands.command import DATE, private_of
from commands.forks import load
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import QUICK, segment_of, segment_texts
from oldump.outside.embedded_postgres import embedded_database
from oldump.outside.synthetic_databases import fill
from oldump.synth.table import copy_blocks

BUSY = 32
START, END = "(before the first stage)", "(after the last stage)"
_SHORT = {"short file": 300, "overwriting": 300}
"""Rows of the cases whose runs are short enough to try many commit points."""
_OF_ONE_RUN = {"history.jsonl", "journal.jsonl", "lock", "run.log", "status.json", "status.json.new"}
_OF_ONE_MOMENT = {"snapshot", "lsn", "started"}
"""Manifest members that depend on when a database was read."""
_SAMPLED_POINTS = 60
"""Commit points to try in a case with long runs, unless --points is given."""
_MOST_ROUNDS = 20
"""Rounds of tries at random moments; a kill that comes after its run ended is repeated in the next round."""
_EVENT = re.compile(r" INFO (\S+): (started|committed after|resuming after|already committed)\b")


class Case(NamedTuple):
    """A source, and everything that its runs have in common."""

    name: str
    options: tuple[str, ...]
    folder: Path
    """Holds the undisturbed run and the tries."""
    all_points: bool = False
    """Whether every commit point is tried, because the runs are short."""
    replaces: bool = False
    """Whether a run from another source is published, which --overwrite replaces."""

    @property
    def replaced(self) -> Path:
        """Return the output folder of the run to replace."""
        return self.folder / "replaced"


class Quiet(NamedTuple):
    """The results of an undisturbed run."""

    files: dict[str, bytes]
    replaced: dict[str, bytes]
    """The files of the run that it replaces."""
    spans: dict[str, float]
    """Seconds per stage, in order, including the time before the first and after the last stage."""
    points: list[str]


@dataclass
class Tried:
    """The results of a try, or the sum of several."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By stage, and by the files that the stage had written."""
    resumed: Counter[str] = field(default_factory=Counter)
    """Runs that resumed within a stage, by stage."""
    missed: int = 0
    """Runs that ended before they were killed."""
    refused: int = 0
    """Runs refused because workers of the killed run were still alive."""
    at_moments: int = 0
    """Kills at random moments."""
    points: int = 0
    """Kills at commit points, before and after each."""
    difference: str = ""

    def add(self, other: "Tried") -> None:
        """Add the results of another try."""
        self.kills += other.kills
        self.resumed += other.resumed
        self.missed += other.missed
        self.refused += other.refused
        self.at_moments += other.at_moments
        self.points += other.points


class Difference(Exception):
    """The result of a killed run differs from that of an undisturbed run."""


# --------------------------------------------------------------------------------------------------- an undisturbed run


def quiet(case: Case) -> Quiet:
    """Run the case undisturbed to measure its stages, and again to count its commit points."""
    if case.replaces:
        _make_replaced_run(case)
    run = _quiet_run(case, "quiet")
    run.begin()
    spans, last, began = dict.fromkeys((START,), 0.0), START, time.monotonic()
    known = 0
    deadline = began + SECONDS
    while not run.has_ended() or known < len(_events(run.log)):
        for stage, what in _events(run.log)[known:]:
            known += 1
            now = time.monotonic()
            if what in {"started", "committed after"}:
                spans[last] = spans.get(last, 0) + now - began
                last, began = (stage if what == "started" else END), now
        if time.monotonic() > deadline:
            run.kill()
            raise Difference(f"{case.name}: the undisturbed run did not end within {SECONDS} seconds:\n{run.log}")
        time.sleep(PAUSE_SECONDS)
    spans[END] = time.monotonic() - began
    if run.end():
        raise Difference(f"{case.name}: the undisturbed run fails:\n{run.log}")
    points = case.folder / "points"
    counting = _quiet_run(case, "counted")
    counting.begin(points=points)
    if counting.end():
        raise Difference(f"{case.name}: the run that counts commit points fails:\n{counting.log}")
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


def _make_replaced_run(case: Case) -> None:
    """Make the run that will be replaced."""
    source = case.folder / "replaced.txt"
    source.write_bytes(b"".join(copy_blocks(200, seed=3)))
    run = Run(("run", DATE, "--source", source, "--out", case.replaced), case.folder, case.folder / "replaced.log")
    run.begin()
    if run.end():
        raise Difference(f"{case.name}: the run to be replaced fails:\n{run.log}")


def _copy_replaced(case: Case, out: Path) -> None:
    if case.replaces:
        shutil.copytree(case.replaced, out)


def _command(case: Case, out: Path, checkpoint_seconds: float) -> list[object]:
    more = ("--workers", 2, "--memory", "245M", "--level", 1, "--checkpoint", checkpoint_seconds)
    return ["run", DATE, "--out", out, *case.options, *more, *(["--overwrite"] if _must_overwrite(case, out) else [])]


def _must_overwrite(case: Case, out: Path) -> bool:
    """Whether to pass --overwrite: only until the run has started, because it restarts the run."""
    return case.replaces and b'"overwrite": true' not in (private_of(out) / "journal.jsonl").read_bytes()


def _events(log: str) -> list[tuple[str, str]]:
    """Return the stage events of a log, in order."""
    return [(match[1], match[2]) for match in _EVENT.finditer(log)]


def _files(out: Path) -> dict[str, bytes]:
    """Return all files of a run except its journal, lock, log and status, by path; the manifest without times."""
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
    """Raise Difference at the first file that is missing, unexpected or different."""
    if missing := sorted(wanted.keys() - found.keys()):
        raise Difference(f"missing {', '.join(missing)}")
    if others := sorted(found.keys() - wanted.keys()):
        raise Difference(f"has {', '.join(others)}, which an undisturbed run does not have")
    for name, content in wanted.items():
        if content != found[name]:
            pairs = enumerate(zip(content, found[name], strict=False))
            place = next((at for at, (one, other) in pairs if one != other), min(len(content), len(found[name])))
            raise Difference(
                f"{name}: differs from byte {place:,}; {len(found[name]):,} bytes instead of {len(content):,}"
            )


# --------------------------------------------------------------------------------------------------------------- a try


class _Try:
    """A run that is killed and resumed."""

    def __init__(self, plan: "Plan", seed: int) -> None:
        self._plan = plan
        self._wanted = plan.wanted
        self._random = random.Random(seed)
        self._folder = plan.case.folder / f"try-{seed}"
        self._out = self._folder / "out"
        self._seconds: float = 0  # a checkpoint everywhere: each run has the same commit points
        self._runs = 0
        self._story: list[str] = []
        self._committed: set[str] = set()
        self.tried = Tried()

    def perform(self) -> None:
        """Kill the run at its point, if any, and at random moments; then let it end and compare. Raise Difference."""
        self._folder.mkdir()
        _copy_replaced(self._plan.case, self._out)
        try:
            if self._plan.point is not None:
                self.tried.points += self._is_killed(self._start(self._plan.point), str(self._plan.point))
            self._seconds = self._random.choice((0, 0.05))
            for _ in range(self._plan.kills):
                self.tried.at_moments += self._run_until_killed()
            run = self._start()
            if run.end():
                raise Difference(f"fails with exit code {run.code}: {run.log[-2_000:]}")
            self._require_resumed(run, is_whole=True)
            require_same(self._wanted.files, _files(self._out))
        except Difference as error:
            raise Difference(f"{self._folder}: {'; '.join(self._story)}: {error}") from error
        shutil.rmtree(self._folder)

    def _start(self, point: Point | None = None) -> Run:
        """Start the run, again if it is refused because workers of the killed run are still alive."""
        checkpoints = list(private_of(self._out).glob("spill/*/checkpoint"))
        self._checkpoints = {path.parent.name for path in checkpoints}
        if self._plan.is_sabotaged:
            for path in checkpoints:
                path.unlink()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self._runs += 1
            command = _command(self._plan.case, self._out, self._seconds)
            run = Run(command, self._folder, self._folder / f"{self._runs}.log")
            run.begin(point)
            if run.wait_for(lambda run=run: " INFO preflight: " in run.log or " INFO already complete" in run.log):  # type: ignore[misc] # mypy cannot infer it
                return run
            if run.end() != BUSY:
                return run
            self.tried.refused += 1
        raise Difference(f"refused for {SECONDS} seconds because of the killed run's lock")

    def _run_until_killed(self) -> bool:
        """Kill the run at a random moment of a stage that is not committed yet; return whether it was still running."""
        spans = self._wanted.spans
        span = self._random.choice([stage for stage in spans if stage not in self._committed])
        last = [stage for stage in spans if stage != END][-1]
        sign = {START: "", END: f" INFO {last}: (committed after|already committed)"}.get(
            span, f" INFO {span}: started"
        )
        moment = self._random.uniform(0, spans[span])
        run = self._start()
        if run.wait_for(lambda: re.search(sign, run.log) is not None):
            run.wait_for(lambda: False, moment)
        if not run.has_ended():
            run.kill(leader_alone=self._random.random() < 0.3)
        return self._is_killed(run, f"{moment:.3f} s into {span}")

    def _is_killed(self, run: Run, what: str) -> bool:
        """Return whether the run was killed. Raise Difference unless everything published is complete."""
        if run.end() == 0:
            self.tried.missed += 1
        elif run.code != -9:
            raise Difference(f"fails with exit code {run.code}, expected a kill {what}: {run.log[-2_000:]}")
        else:
            events = _events(run.log)
            stage = _stage_at(events)
            self.tried.kills[stage, self._made()] += 1
            self._story.append(f"killed {what} ({stage}, {self._made()})")
        self._require_resumed(run, is_whole=False)
        self._require_whole_items()
        return run.code != 0

    def _require_whole_items(self) -> None:
        """Raise Difference if a published item is neither the run's nor the one that it replaces."""
        found = _files(self._out)
        for item in {name.split("/")[0] for name in found if name.startswith("ol_")}:
            published, wanted, replaced = (
                {name: content for name, content in files.items() if name.startswith(f"{item}/")}
                for files in (found, self._wanted.files, self._wanted.replaced)
            )
            if published != replaced:
                require_same(wanted, published)

    def _made(self) -> str:
        """Describe what a killed stage has written."""
        private = private_of(self._out)
        if list(private.glob("spill/*/checkpoint")):
            return "checkpoint written"
        if list(private.glob("making/*/*.part")) or list(private.glob("*.part")):
            return "artifacts being written"
        return "spill written" if list(private.glob("spill/*/*")) else "no files"

    def _require_resumed(self, run: Run, *, is_whole: bool) -> None:
        """Raise Difference if a stage restarted although it had a checkpoint."""
        events = _events(run.log)
        self._committed |= {stage for stage, what in events if what in {"committed after", "already committed"}}
        resumed = {stage for stage, what in events if what == "resuming after"}
        self.tried.resumed.update(resumed)
        if "the stage restarts" in run.log:
            raise Difference(f"a stage restarted although it had a checkpoint: {run.log[-2_000:]}")
        lost = self._checkpoints - resumed - {stage for stage, what in events if what == "already committed"}
        if is_whole and lost and "already complete" not in run.log:
            raise Difference(f"{', '.join(lost)} had a checkpoint but did not resume from it")


def _stage_at(events: list[tuple[str, str]]) -> str:
    """Return the stage at which a log with these events ends."""
    reached = [(stage, what) for stage, what in events if what in {"started", "committed after"}]
    if not reached:
        return START
    stage, what = reached[-1]
    return stage if what == "started" else f"after {stage}"


class Plan(NamedTuple):
    """A try that has not been made yet."""

    case: Case
    wanted: Quiet
    point: Point | None
    kills: int
    """Kills at random moments."""
    is_sabotaged: bool

    def performed(self, seed: int) -> Tried:
        """Make the try and return its results."""
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
    """Return a case that reads a file of the kind named."""
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
    # The replaced run has other rows, which the gate would reject.
    override = ("--override-gate", "other rows") if name == "overwriting" else ()
    return Case(name, ("--source", str(path), *override), folder, name == "short file", name == "overwriting")


@contextmanager
def _cases(folder: Path, names: list[str], rows: int) -> Iterator[list[Case]]:
    """Yield the named cases with their sources."""
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
    known: list[tuple[Case, Quiet]], kills: int, arguments: argparse.Namespace, chance: random.Random
) -> Iterator[Plan]:
    """Yield tries with this many kills in total at random moments, taking the long cases in turn."""
    long = itertools.cycle([each for each in known if each[0].name not in _SHORT] or known)
    while kills > 0:
        of_try = min(kills, chance.choice((1, 2, 3)))
        yield Plan(*next(long), None, of_try, arguments.sabotage)
        kills -= of_try


def _at_points(known: list[tuple[Case, Quiet]], arguments: argparse.Namespace, chance: random.Random) -> Iterator[Plan]:
    """Yield a try for each commit point to be tried."""
    for case, wanted in known:
        every = [Point(number + 1, is_after) for number in range(len(wanted.points)) for is_after in (False, True)]
        if arguments.points or not case.all_points:
            every = sorted(chance.sample(every, min(len(every), arguments.points or _SAMPLED_POINTS)))
        yield from (Plan(case, wanted, point, 0, arguments.sabotage) for point in every)


def campaign(arguments: argparse.Namespace, folder: Path) -> bool:
    """Run the campaign and print its results; return whether nothing differed."""
    load()
    began, chance = time.monotonic(), random.Random(arguments.seed)
    total, done = Tried(), 0
    with (
        _cases(folder, arguments.case, arguments.rows) as cases,
        ProcessPoolExecutor(arguments.jobs, get_context("fork")) as pool,
    ):
        known = list(zip(cases, pool.map(quiet, cases), strict=True))
        plans = list(_at_points(known, arguments, chance))
        for case, wanted in known:
            tried = sum(plan.case == case for plan in plans)
            every = len(wanted.points)
            seconds = sum(wanted.spans.values())
            print(
                f"{case.name}: {seconds:.1f} s undisturbed, {every} commit points; {tried} of {2 * every} kills at them"
            )
        seeds = itertools.count(arguments.seed * 1_000_000)
        for _ in range(_MOST_ROUNDS):
            if total.difference or not (plans or total.at_moments < arguments.kills):
                break
            plans += _at_moments(known, arguments.kills - total.at_moments, arguments, chance)
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
    if not total.difference and total.at_moments < arguments.kills:
        total.difference = f"only {total.at_moments} runs were still running when they were to be killed"
    _report(total, done, time.monotonic() - began, arguments.seed)
    return not total.difference


def _report(total: Tried, tries: int, seconds: float, seed: int) -> None:
    print(f"\n{'stage':26}{'files of the stage':24}{'kills':>6}")
    for (stage, made), kills in sorted(total.kills.items()):
        print(f"{stage:26}{made:24}{kills:6}")
    resumed = ", ".join(f"{stage} {count}" for stage, count in sorted(total.resumed.items())) or "none"
    print(f"\nruns that resumed within a stage: {total.resumed.total()} ({resumed})")
    print(f"killed at random moments: {total.at_moments}; before and after commit points: {total.points}")
    print(
        f"runs that ended before they were killed: {total.missed}; refused while workers were ending: {total.refused}"
    )
    print(f"{tries} tries, {total.kills.total()} kills in {seconds:.0f} s with seed {seed}")
    print(f"DIFFERENCE: {total.difference}" if total.difference else "no difference")


CASES = ["short file", "overwriting", "foreign gzip", "seekable gzip", "database"]


def main() -> int:
    """Run the campaign as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(description="Kill runs with SIGKILL and check that nothing is lost.")
    parser.add_argument("--kills", type=int, default=200, help="kills at random moments (200)")
    parser.add_argument(
        "--points",
        type=int,
        default=0,
        help="kills before or after commit points, per case; 0: all for the short file, 60 for the others (0)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the random choices (1)")
    parser.add_argument("--rows", type=int, default=6_000, help="rows of the tables (6000)")
    parser.add_argument("--jobs", type=int, default=2, help="tries in parallel (2)")
    parser.add_argument("--case", action="append", choices=CASES, help="case to run; repeatable (default: all)")
    parser.add_argument(
        "--sabotage", action="store_true", help="remove checkpoints, to check that the campaign detects it"
    )
    arguments = parser.parse_args()
    arguments.case = arguments.case or CASES
    folder = Path(tempfile.mkdtemp(prefix="oldump-kill-campaign-"))
    is_whole = campaign(arguments, folder)
    if is_whole:
        shutil.rmtree(folder)
    return 0 if is_whole else 1


if __name__ == "__main__":
    sys.exit(main())
