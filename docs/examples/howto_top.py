import os
import subprocess
import sys

import atoll
from atoll.sync import Event


def wait(started, finish):
    started.set()
    finish.wait()


def top(*args):
    command = [sys.executable, "-m", "atoll", "top", str(os.getpid()), *args]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


started, finish = Event(), Event()
with atoll.expose(), atoll.create(name="worker") as interp:
    thread = interp.call_in_thread(wait, started, finish)
    started.wait()
    top("--once")  # without --once it goes on, and shows each second what has changed
    top("--stacks")
    finish.set()
