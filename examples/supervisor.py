"""A worker that crashes on every third message, and no message is lost.

    python examples/supervisor.py [--messages N] [--workers N] [--quiet]

A supervisor starts a crashed worker again, in a fresh interpreter.  That alone
would lose the message in its hands.  So the main program keeps each message
until its answer has come, and hands it out again when the worker that had it
has ended: at least once, and the second answer to the same message is ignored.
"""

import argparse
import logging
import sys
import threading

import atoll


def work(inbox, answers):
    """Runs in an interpreter of its own: its third message is its last."""
    for number, (key, text) in enumerate(inbox, start=1):
        if number % 3 == 0:
            raise RuntimeError(f"cannot take a third message, {text!r}")
        answers.put((key, text.upper()))


class Post:
    """Messages for one worker, kept until they are answered."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inbox = atoll.create_queue()
        self.kept = {}  # key -> text

    def send(self, key, text):
        with self.lock:
            self.kept[key] = text
            self.inbox.put((key, text))

    def answered(self, key):
        """False: it was answered before."""
        with self.lock:
            return self.kept.pop(key, None) is not None

    def send_again(self):
        """The worker has ended: what it has not answered goes to the next one."""
        with self.lock:
            if self.inbox.qsize():
                self.inbox.get_many(self.inbox.qsize())
            if self.kept:
                self.inbox.put_many(self.kept.items())


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--messages", type=int, default=20, metavar="N")
parser.add_argument("--workers", type=int, default=2, metavar="N")
parser.add_argument("--quiet", action="store_true", help="do not log the crashes")
args = parser.parse_args()
logging.basicConfig(stream=sys.stdout, format="%(levelname)s: %(message)s")
if args.quiet:
    logging.disable()

posts = {f"worker {n}": Post() for n in range(args.workers)}
answers = atoll.create_queue()
got = {}


def on_exit(end):
    """Called before the worker is started again."""
    if not end.normal:
        posts[end.name].send_again()


# It crashes for ever: without max_restarts=None the supervisor would give up.
with atoll.Supervisor(max_restarts=None, backoff=0.01, max_backoff=0.05, on_exit=on_exit) as supervisor:
    for name, post in posts.items():
        supervisor.add(name, work, (post.inbox, answers))
    for key in range(args.messages):
        posts[f"worker {key % args.workers}"].send(key, f"message {key}")
    while len(got) < args.messages:
        key, answer = answers.get()
        if posts[f"worker {key % args.workers}"].answered(key):
            got[key] = answer
    for post in posts.values():
        post.inbox.shutdown(immediate=True)  # ends the worker's loop: it returns, and is not started again
    supervisor.wait()

assert got == {key: f"MESSAGE {key}" for key in range(args.messages)}
crashes = sum(end.kind == "failed" for end in supervisor.exits)
runs = sum(worker.runs for worker in supervisor.workers.values())
print(f"{len(got)} of {args.messages} messages answered; {crashes} crashes, {runs} interpreters")
