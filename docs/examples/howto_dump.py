import os
import signal
import time
from pathlib import Path

import atoll
from atoll.sync import Event


def crunch(started, finish):
    started.set()
    finish.wait()


started, finish = Event(), Event()
with atoll.create(name="cruncher") as interp, open("stacks.txt", "w") as log:
    atoll.register_dump(signal.SIGUSR1, log)  # sys.stderr if no file is named
    interp.call_in_thread(crunch, started, finish)
    started.wait()

    while "in crunch" not in Path("stacks.txt").read_text():
        os.kill(os.getpid(), signal.SIGUSR1)  # or, from a shell: kill -USR1 PID
        time.sleep(0.1)  # another thread writes it
    print(Path("stacks.txt").read_text())
    finish.set()
