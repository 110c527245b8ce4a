"""Skip the tests of the fake archive.org unless it has changed since they last passed, or OLDUMP_TESTS_FAKE is set."""

import os

from archive_org.tested import is_recorded

collect_ignore = [] if os.environ.get("OLDUMP_TESTS_FAKE") or not is_recorded() else ["test_server.py"]
