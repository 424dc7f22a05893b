"""Writers killed at any moment: what they leave is looked at after every kill.

A writer is a script that defines `write(number)`. It is imported once and forked for every kill, so that many kills
take seconds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

_HARNESS = """
import os, signal, sys, time

def child(first):
    number = first
    while True:
        number += 1
        write(number)
        os.write(1, f"{number}\\n".encode())

def seconds_of_a_write():
    began, pid = time.monotonic(), os.fork()
    if pid == 0:
        write(0)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return time.monotonic() - began

first, unit_s = 0, seconds_of_a_write() if MEASURED else 1.0
for line in sys.stdin:  # one line for each kill: how long to wait
    pid = os.fork()
    if pid == 0:
        child(first)
    time.sleep(float(line) * unit_s)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    first += 1_000
    os.write(1, b"killed\\n")
"""


def kill_often(writer: str, kills: int, *arguments: str, measured: bool = False) -> Iterator[list[int]]:
    """After every kill the numbers that the killed process had finished writing.

    Kills come after hundredths of a second; `measured`: after 0.2 to 2 times as long as the first writing took.
    """
    command = [sys.executable, "-c", f"{writer}\nMEASURED = {measured}\n{_HARNESS}", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for attempt in range(kills):
            wait = 0.2 + 0.18 * (attempt * 7 % 11) if measured else 0.02 + 0.0037 * (attempt % 11)
            running.stdin.write(f"{wait}\n")
            running.stdin.flush()
            done = [int(line) for line in iter(running.stdout.readline, "killed\n") if line]
            yield done
        running.stdin.close()
