"""Globals of __main__: sent with their function, once for each value."""

import atoll

a, b = atoll.create(), atoll.create()
counter = 0
table = {"x": 1}
name_of_a_late_one = "missing"


def read():
    return counter


def bump():
    global counter
    counter += 1
    return counter


assert a.call(read) == 0
counter = 5
assert a.call(read) == 5
assert a.call(read) == 5

# What the function binds there stays there.
assert a.call(bump) == 6
assert a.call(bump) == 7
assert a.call(read) == 7
assert counter == 5
assert b.call(read) == 5

# ... until the sender binds it anew.
counter = 100
assert a.call(read) == 100
assert a.call(bump) == 101
assert b.call(bump) == 101
assert b.call(bump) == 102


# Functions share their module's globals; so do their helpers.
def bump_through_helper():
    return bump() + read()


assert a.call(bump_through_helper) == 204
counter = 5.5
assert a.call(bump_through_helper) == 13.0


# In-place changes are not seen; binding it anew is.
def look():
    return table


assert a.call(look) == {"x": 1}
table["y"] = 2
assert a.call(look) == {"x": 1}
table = dict(table)
assert a.call(look) == {"x": 1, "y": 2}


def add(key):
    table[key] = True
    return sorted(table)


assert a.call(add, "z") == ["x", "y", "z"]
assert a.call(look) == {"x": 1, "y": 2, "z": True}
assert table == {"x": 1, "y": 2}


# A name that comes, hides a builtin, and goes.
def measure():
    return len("abc")


assert a.call(measure) == 3


def len(x):  # noqa: A001
    return "hidden"


assert a.call(measure) == "hidden"
del len
assert a.call(measure) == 3


def uses_late_name():
    return late()  # noqa: F821


try:
    a.call(uses_late_name)
except atoll.ExecutionFailed as error:
    assert error.excinfo.type.__name__ == "NameError", error.excinfo
else:
    raise AssertionError


def late():
    return "there now"


assert a.call(uses_late_name) == "there now"


def late():
    return "another"


assert a.call(uses_late_name) == "another"
del late
try:
    a.call(uses_late_name)
except atoll.ExecutionFailed as error:
    assert error.excinfo.type.__name__ == "NameError", error.excinfo
else:
    raise AssertionError


# What the target's __main__ has is another thing.
a.exec("counter = 'of its own'")
assert a.call(read) == 6.5
a.exec("assert counter == 'of its own'; assert 'read' not in globals()")


# Binding a global inside a function of the sender's.
def rebind():
    global counter
    counter = "rebound"


rebind()
assert a.call(read) == "rebound"
globals()["counter"] = "by hand"
assert a.call(read) == "by hand"

# A value that comes back after another one was sent.
first, second = ["first"], ["second"]
counter = first
assert a.call(read) == ["first"]
counter = second
assert a.call(read) == ["second"]
counter = first
assert a.call(read) == ["first"]

# The objects of one module are one object there.
shared = [1]


def left():
    return shared


def right():
    shared.append(2)
    return left() is shared


assert a.call(left) == [1]
assert a.call(right) is True
assert a.call(left) == [1, 2]

UNSET = object()


class Nothing:
    def __bool__(self):
        return False


NOTHING = Nothing()


def default_is_global(x=UNSET, y=NOTHING):
    return x is UNSET, y is NOTHING


def global_first():
    return UNSET, NOTHING


assert a.call(global_first) is not None
assert a.call(default_is_global) == (True, True)
assert b.call(default_is_global) == (True, True)


# Special names.
def special():
    return __file__.endswith("globals.py"), __name__


assert a.call(special) in [(True, "<fake __main__>"), (False, "<fake __main__>")]


# A deleted and then recreated interpreter knows nothing of the old one.
a.close()
a = atoll.create()
assert a.call(read) == ["first"]
assert a.call(look) == {"x": 1, "y": 2}
print("ok")
