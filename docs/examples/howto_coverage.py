import coverage

import atoll


def measured(func, *args):
    """Call func in this interpreter under coverage; the data goes to a file of its own."""
    import coverage

    cov = coverage.Coverage(data_suffix=True)
    cov.set_option("run:core", "sysmon")  # the default from 3.14 on
    cov.start()
    try:
        return func(*args)
    finally:
        cov.stop()
        cov.save()


def sign(n):
    if n > 0:
        return 1
    if n < 0:
        return -1
    return 0


with atoll.create() as interp:
    print(interp.call(measured, sign, 5), interp.call(measured, sign, -5))

cov = coverage.Coverage()
cov.combine()
_, _, _, missing, _ = cov.analysis2(__file__)
with open(__file__) as file:
    lines = file.readlines()
print(
    "never run in sign():", [lines[n - 1].strip() for n in missing if lines[n - 1].startswith("    return")]
)
