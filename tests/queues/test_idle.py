"""Who waits sleeps: strace counts the system calls of idle waiters, and finds none."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from helpers import LIMIT

WAITERS = """
import asyncio, os, sys, threading, time
import atoll
from atoll import _core, sync

queue, full = atoll.create_queue(), atoll.create_queue(1)
full.put(1)
ids = []

def start(function, *args):
    def run():
        ids.append(threading.get_native_id())
        function(*args)
    threading.Thread(target=run, daemon=True).start()

interp = atoll.create()
interp.prepare_main(queue=queue)
start(queue.get)
start(queue.get, True, 1000.0)
start(full.put, 2)
start(full.put_many, [2, 3], 1000)
start(full.join)
start(atoll.wait, [queue, atoll.create_queue()])
start(interp.exec, "queue.get()")

async def async_get():
    await queue.aget()

def wait_on(condition):
    with condition:
        condition.wait()

held, rheld, event = sync.Lock(), sync.RLock(), sync.Event()
held.acquire()
rheld.acquire()
start(asyncio.run, async_get())
start(held.acquire)
start(held.acquire, True, 1000.0)
start(rheld.acquire)
start(sync.Semaphore(0).acquire)
start(event.wait)
start(event.wait, 1000.0)
start(wait_on, sync.Condition())
start(sync.Barrier(2).wait)
while (_core._queue_waiting(queue)[0], _core._queue_waiting(queue)[2], *_core._queue_waiting(full)) != (4, 1, 0, 2, 0, 1):
    pass
while len(ids) < 16:
    pass
def asleep(number):
    with open(f"/proc/self/task/{number}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"

seen = 0  # a short spin comes before the sleep
while seen < 50:
    seen = seen + 1 if all(map(asleep, ids)) else 0
    time.sleep(0.01)
# From here to "end", whoever is in ids makes no system call.
os.write(1, b"begin " + " ".join(map(str, ids)).encode() + b"\\n")
time.sleep(1.5)
os.write(1, b"end\\n")
os._exit(0)
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_wake_ups(tmp_path) -> None:
    log = tmp_path / "strace"
    command = ["strace", "-f", "-o", str(log), sys.executable, "-c", WAITERS]
    out = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    if "ptrace" in out.stderr and not out.stdout:
        pytest.skip("strace may not trace here: " + out.stderr.strip().splitlines()[0])
    assert out.returncode == 0, out.stderr
    begin, end = out.stdout.splitlines()
    ids = set(begin.split()[1:])
    assert end == "end" and len(ids) == 16
    lines = log.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if 'write(1, "begin' in line)
    last = next(i for i, line in enumerate(lines) if 'write(1, "end' in line)
    assert last > first
    woken = [line for line in lines[first:last] if line.split()[0] in ids]
    assert woken == []
