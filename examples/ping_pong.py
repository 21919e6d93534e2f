"""A ball between two sides: atoll's queues, the standard library's, threads, processes.

    python examples/ping_pong.py [--rounds N] [--size BYTES]

A side waits for the ball and sends it back.  The table tells the median time
of a round trip.  The standard library's interpreters (3.14 and later) look
every 10 ms whether something has come; atoll's are woken.
"""

import argparse
import multiprocessing
import platform
import queue
import statistics
import threading
import time

import atoll


def serve(put, get, ball, rounds):
    """This side: seconds of each round trip."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        put(ball)
        get()
        taken.append(time.perf_counter() - start)
    return taken


def send_back(get, put, rounds):
    """The other side."""
    for _ in range(rounds):
        put(get())


def interpreters(module, setup, ball, rounds):
    there, back = module.create_queue(), module.create_queue()
    interp = module.create()
    interp.exec(setup + f"there, back = Queue({there.id}), Queue({back.id})\n")
    code = f"for _ in range({rounds}):\n    back.put(there.get())\n"
    other = threading.Thread(target=interp.exec, args=(code,))
    other.start()
    taken = serve(there.put, back.get, ball, rounds)
    other.join()
    interp.close()
    return taken


def threads(ball, rounds):
    there, back = queue.SimpleQueue(), queue.SimpleQueue()
    other = threading.Thread(target=send_back, args=(there.get, back.put, rounds))
    other.start()
    taken = serve(there.put, back.get, ball, rounds)
    other.join()
    return taken


def echo(pipe, rounds):
    send_back(pipe.recv, pipe.send, rounds)


def processes(ball, rounds):
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("spawn").Process(target=echo, args=(theirs, rounds), daemon=True)
    other.start()
    taken = serve(ours.send, ours.recv, ball, rounds)
    other.join()
    return taken


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000, metavar="N")
    parser.add_argument("--size", type=int, default=8, metavar="BYTES")
    args = parser.parse_args()
    ball = bytes(args.size)

    results = {"atoll": interpreters(atoll, "from atoll import Queue\n", ball, args.rounds)}
    try:
        from concurrent import interpreters as standard
    except ImportError:
        standard = atoll
    if standard.create is not atoll.create:  # the alias on 3.12 and 3.13
        setup = "from concurrent.interpreters import Queue\n"
        few = min(args.rounds, 50)
        results["concurrent.interpreters"] = interpreters(standard, setup, ball, few)
    results["threads (SimpleQueue)"] = threads(ball, args.rounds)
    results["processes (Pipe)"] = processes(ball, args.rounds)

    own = statistics.median(results["atoll"])
    print(f"CPython {platform.python_version()}, {args.size} bytes there and back, median of a round trip")
    for name, taken in results.items():
        seconds = statistics.median(taken)
        print(f"{name:25}{seconds * 1e6:>12,.1f} us{seconds / own:>10,.1f}x")


# Only for the processes: they import this file.
if __name__ == "__main__":
    main()
