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

first = 0
for line in sys.stdin:  # one line for each kill: how long to wait
    pid = os.fork()
    if pid == 0:
        child(first)
    time.sleep(float(line))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    first += 1_000
    os.write(1, b"killed\\n")
"""


def kill_often(writer: str, kills: int, *arguments: str, longest_s: float = 0.057) -> Iterator[list[int]]:
    """After every kill, which comes within `longest_s`, the numbers that the killed process had finished writing."""
    command = [sys.executable, "-c", writer + _HARNESS, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        for attempt in range(kills):
            running.stdin.write(f"{longest_s * (0.35 + 0.065 * (attempt * 7 % 11))}\n")
            running.stdin.flush()
            done = [int(line) for line in iter(running.stdout.readline, "killed\n") if line]
            yield done
        running.stdin.close()
