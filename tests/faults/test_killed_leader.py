"""Workers end by themselves when their leader is killed with SIGKILL."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

LEADER = """
import sys, time
from oldump.engine.workers import Crew

def perform(content):
    if content == "busy":
        time.sleep(0.5)
    yield content
    return bytes(10_000_000)

def begin(number):
    return perform

with Crew(3, begin) as crew:
    print(*crew.process_ids, flush=True)
    for answer in crew.run([("waits for an answer", "waits"), ("is busy", "busy")]):
        print(answer.message, flush=True)
"""


def is_alive(process_id: int) -> bool:
    """Whether the process runs. A zombie that another process inherited does not count."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: signal.Signals(end).name)
def test_workers_end_when_their_leader_is_killed(end: signal.Signals) -> None:
    """Idle, waiting and busy workers all end when their leader dies, so none holds another's pipe open."""
    with subprocess.Popen([sys.executable, "-c", LEADER], stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout
        process_ids = [int(word) for word in leader.stdout.readline().split()]
        assert len(process_ids) == 3
        assert leader.stdout.readline() == "waits\n"
        assert all(map(is_alive, process_ids))
        os.kill(leader.pid, end)
        leader.wait(10)
    deadline = time.monotonic() + 10
    while any(map(is_alive, process_ids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(is_alive, process_ids))
