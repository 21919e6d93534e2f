"""Many threads send, rebuild and change the same things at once."""

import threading

import atoll

value = 0


class Item:
    def __init__(self, n):
        self.n = n

    def get(self):
        return self.n, helper(self.n)


def helper(n):
    return n + (value is not None)


def work(item):
    return Item(item.get()[1])


failures = []
interps = [atoll.create() for _ in range(3)]
start = threading.Barrier(4)


def sender(interp):
    try:
        start.wait(60)
        for i in range(60):
            result = interp.call(work, Item(i))
            assert type(result) is Item
            assert result.n == i + 1
            held = [i]
            assert interp.call(lambda: held) == [i]
            assert interp.call(lambda: Item) is Item
    except BaseException as error:
        failures.append(error)
        raise


def changer():
    global value
    start.wait(60)
    for i in range(300):
        value = [i]


# Several threads in one interpreter build the same class at once.
def build_all(queue, n):
    def one():
        seen.append(type(queue.get(timeout=60)))

    import threading

    seen = []
    threads = [threading.Thread(target=one) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return len(set(seen)), len(seen)


threads = [threading.Thread(target=sender, args=(i,)) for i in interps] + [threading.Thread(target=changer)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
for interp in interps:
    for _ in range(5):

        class Fresh:
            big = list(range(2000))

            def method(self):
                return helper, Item

        queue = atoll.create_queue()
        queue.put_many([Fresh() for _ in range(6)])
        assert interp.call(build_all, queue, 6) == (1, 6)
print("ok")
