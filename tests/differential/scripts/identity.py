"""One object twice in a value: the copies are one object, too."""

from concurrent import interpreters

queue, interp = interpreters.create_queue(), interpreters.create()
shared = ["shared"]
queue.put((shared, shared))
left, right = queue.get()
print(left is right, left is shared)


def both(left, right):
    return left is right


print(interp.call(both, shared, shared))
