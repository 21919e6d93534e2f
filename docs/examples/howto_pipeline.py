import atoll


def parse(lines, records):
    import json

    for line in lines:
        records.put(json.loads(line))


def add_up(records, totals):
    total = {}
    for record in records:
        total[record["who"]] = total.get(record["who"], 0) + record["hours"]
    totals.put(total)


# Bounded: whoever is too fast waits for room, so memory stays flat.
lines, records, totals = atoll.create_queue(100), atoll.create_queue(100), atoll.create_queue()
with atoll.create() as one, atoll.create() as two, atoll.create() as three:
    parsers = [interp.call_in_thread(parse, lines, records) for interp in (one, two)]
    three.call_in_thread(add_up, records, totals)
    for n in range(1000):
        lines.put('{"who": "%s", "hours": %d}' % ("ann" if n % 2 else "bob", n % 5))
    lines.shutdown()  # the parsers end when all is parsed
    for thread in parsers:
        thread.future.result()  # raises what went wrong there
    records.shutdown()
    print(sorted(totals.get().items()))
