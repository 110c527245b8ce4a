"""A client of the fake archive.org in this process: the real code with the real library, and short retries."""

from pathlib import Path

from archive_org.server import ACCOUNT
from archive_org.server import ArchiveOrg as Fake
from archive_org.store import Account
from oldump.outside.archive_org import ArchiveOrg
from oldump.outside.retries import RetryPolicy
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.archive import stage
from oldump.stages.archive.pointer import Archived

TIMEOUT_SECONDS = (5.0, 5.0)


def archived(folder: RunFolder, ia_config: Path | None = None, *, total_seconds: float = 30) -> Archived:
    """Archive the run."""
    policy = RetryPolicy(total_seconds, 0.01)
    folder.private.mkdir(exist_ok=True)
    return stage.archive(folder, ArchiveOrg(ia_config, TIMEOUT_SECONDS), Settings.of(), NoProgress(), policy=policy)


def config_of(fake: Fake, account: Account, path: Path) -> Path:
    """Write an ia.ini with this account's keys for this fake, and return its path."""
    text = fake.config.read_text(encoding="utf-8")
    text = text.replace(ACCOUNT.access, account.access).replace(ACCOUNT.secret, account.secret)
    path.write_text(text, encoding="utf-8")
    return path
