import atoll


class Job:
    def __init__(self, name):
        self.name = name


def same(a, b):
    return a is b


def name_of(job):
    return job.name


def back(value):
    return value


shared = ["one", "list"]
with atoll.create() as interp:
    print("one object twice stays one object:", interp.call(same, shared, shared))
    print("a class of this script crosses:", interp.call(name_of, Job("sweep")))
    print("and comes back as itself:", isinstance(interp.call(back, Job("sweep")), Job))
    print("but a copy is a copy:", interp.call(back, shared) is shared)
    with open(__file__) as file:
        try:
            interp.call(print, {"jobs": [1, file]})
        except atoll.NotShareableError as error:
            print("NotShareableError:", error)
