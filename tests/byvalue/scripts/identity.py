"""What is sent, comes home, and is sent on: which things are one thing."""

import atoll

a, b = atoll.create(), atoll.create()


def function():
    return 1


class Class:
    pass


def outer(x):
    def inner():
        return x

    return inner


constant = outer(5)
changing = outer([5])
registry = {function: "f", Class: "c", constant: "k"}


def look_up(key):
    return registry[key]


for interp in (a, b):
    assert interp.call(lambda f: f, function) is function
    assert interp.call(lambda c: c, Class) is Class
    assert interp.call(lambda f: f, constant) is constant
    assert interp.call(lambda f: f, changing) is changing
    assert interp.call(lambda: [function, Class, constant]) == [function, Class, constant]
    # The same thing by way of another definition.
    assert interp.call(look_up, function) == "f"
    assert interp.call(look_up, Class) == "c"
    assert interp.call(look_up, constant) == "k"
    assert interp.call(lambda f, c: (f is function, c is Class), function, Class) == (True, True)
    assert interp.call(lambda fs: fs[0] is fs[1], [changing, changing])
    assert interp.call(lambda c: type(c()) is Class, Class)


def hop(target_id, *values):
    """Sends values on to another interpreter, and back."""
    target = atoll.Interpreter(target_id)
    there = target.call(lambda *v: v, *values)
    return [x is y for x, y in zip(there, values)], there


same, values = a.call(hop, b.id, function, Class, constant, outer)
assert same == [True, True, True, True]
assert values == (function, Class, constant, outer)


def send_to_third(target_id):
    """Sends what it knows by its globals only."""
    target = atoll.Interpreter(target_id)
    return target.call(lambda f, c, k: (f(), c.__name__, k(), c()), function, Class, constant)


result = a.call(send_to_third, b.id)
assert result[:3] == (1, "Class", 5)
assert type(result[3]) is Class
assert b.call(lambda c: c is Class, Class)


# Things of others: made in a, used in b, known again in a.
def make():
    class Theirs:
        def __init__(self, x):
            self.x = x

        def twice(self):
            return Theirs(self.x * 2)

    return Theirs


theirs = a.call(make)
t = theirs(4)
assert type(t.twice()) is theirs
assert b.call(lambda t: t.twice().x, t) == 8
assert type(b.call(t.twice)) is theirs
assert type(a.call(t.twice)) is theirs


def keep(cls):
    global kept
    kept = cls


def same_as_kept(obj):
    return type(obj) is kept  # noqa: F821


a.call(keep, theirs)
assert a.call(same_as_kept, t)
assert a.call(same_as_kept, b.call(t.twice))
b.call(keep, theirs)
assert b.call(same_as_kept, t)
assert b.call(same_as_kept, a.call(t.twice))

# It outlives its home.
c = atoll.create()
orphan = c.call(make)
instance = orphan(1)
c.close()
assert type(a.call(instance.twice)) is orphan
assert a.call(lambda o: o.twice().x, instance) == 2
assert b.call(lambda o: o.twice().twice().x, a.call(instance.twice)) == 8
print("ok")
