"""Counts the words of many files in three stages, each in its own interpreters.

    python examples/pipeline.py [--counters N] [--top N] [--limit N] [FILE...]

Without FILE: the .py files of the standard library.  One interpreter reads
and splits files into words, N count them, one merges the counts.  Bounded
queues join the stages: who is too fast waits for room, so memory stays flat.
A stage is over when its queue is shut down and empty; then it shuts down the
next.  A stage that fails shuts down the one it takes from as well, so that
those before it stop, too, and nobody waits for ever.
"""

import argparse
import sys
import sysconfig
import time
from contextlib import contextmanager
from pathlib import Path

import atoll


@contextmanager
def stage(source):
    """Whatever ends the stage: who feeds it waits no more, and is not to blame."""
    try:
        yield
    except atoll.QueueShutDown:
        pass  # a later stage failed, and says why
    finally:
        source.shutdown(immediate=True)


def split(paths, words):
    """Stage 1: files to lists of words.  Returns how many, and which could not be read."""
    import re

    pattern = re.compile(r"[A-Za-z_]\w*")
    count, unread = 0, []
    with stage(paths):
        for path in paths:
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except OSError as error:
                unread.append(str(error))
                continue
            words.put(pattern.findall(text))
            count += 1
    words.shutdown()
    return count, unread


def count(words, counts):
    """Stage 2, several times: words to counts."""
    from collections import Counter

    with stage(words):
        for some in words:
            counts.put(dict(Counter(some)))


def merge(counts, top):
    """Stage 3: all counts to one."""
    from collections import Counter

    total = Counter()
    with stage(counts):
        for some in counts:
            total.update(some)
    return total.total(), len(total), sorted(total.items(), key=lambda item: (-item[1], item[0]))[:top]


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--counters", type=int, default=2, metavar="N")
parser.add_argument("--top", type=int, default=10, metavar="N")
parser.add_argument("--limit", type=int, default=None, metavar="N", help="only the first N files")
parser.add_argument("files", nargs="*", metavar="FILE")
args = parser.parse_args()
files = args.files or sorted(str(path) for path in Path(sysconfig.get_path("stdlib")).rglob("*.py"))
files = files[: args.limit]

start = time.perf_counter()
paths, words, counts = atoll.create_queue(100), atoll.create_queue(20), atoll.create_queue(20)
interps = [atoll.create(name=name) for name in ("split", "merge", *["count"] * args.counters)]
splitting = interps[0].call_in_thread(split, paths, words)
merging = interps[1].call_in_thread(merge, counts, args.top)
counting = [interp.call_in_thread(count, words, counts) for interp in interps[2:]]
try:
    try:
        for path in files:
            paths.put(path)
    except atoll.QueueShutDown:
        pass  # as in a stage
    paths.shutdown()
    read, unread = splitting.future.result()
    for thread in counting:
        thread.future.result()
    counts.shutdown()
    total, different, top = merging.future.result()
finally:
    # If a stage failed: the others wait for nothing more.
    for queue in (paths, words, counts):
        queue.shutdown(immediate=True)
    for thread in (splitting, merging, *counting):
        thread.join()
    for interp in interps:
        interp.close()
for problem in unread:
    print(problem, file=sys.stderr)
for word, times in top:
    print(f"{times:9,}  {word}")
print(f"{read} files, {total:,} words, {different:,} different, {time.perf_counter() - start:.2f} s")
sys.exit(bool(unread))
