import logging
import os

import atoll

logging.getLogger("atoll.supervisor").setLevel(logging.CRITICAL)  # shown below


def invert(jobs, results):
    for number in jobs:
        results.put(1 / number)


def watch(log):
    stop = atoll.stop_event()  # it will be asked before it is interrupted
    log.put("watching")
    stop.wait()
    log.put("asked to stop")


jobs, results, log = atoll.create_queue(), atoll.create_queue(), atoll.create_queue()
with atoll.Supervisor(backoff=0.05, grace=60) as supervisor:
    supervisor.add("inverter", invert, (jobs, results))
    supervisor.add("watcher", watch, (log,), restart="always")
    jobs.put_many([1, 2, 0, 4])
    print([results.get() for _ in range(3)])
    inverter = supervisor.workers["inverter"]
    print(inverter.state, "for the second time:" if inverter.runs == 2 else "", inverter.last_exit)
    print(log.get())
print(log.get())

# One that cannot run at all.
try:
    with atoll.Supervisor(max_restarts=2, within=60, backoff=0.01) as supervisor:
        supervisor.add("reader", os.listdir, ("/no/such/folder",))
        supervisor.wait()
except atoll.SupervisorError as error:
    print(error)
