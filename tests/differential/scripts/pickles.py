import copy
import pickle

from concurrent import interpreters

interp, q = interpreters.create(), interpreters.create_queue(3)
for value in (interp, q):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        back = pickle.loads(pickle.dumps(value, protocol))
        print(type(back).__name__, back == value, back is value)
print(copy.copy(interp) == interp, copy.deepcopy(q) == q)
try:
    interp.exec("1 / 0")
except interpreters.ExecutionFailed as failed:
    print(type(failed).__name__, failed.args == (failed.excinfo.formatted,))
