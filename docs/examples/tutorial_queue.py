import atoll


def count_letters(lines, counts):
    for line in lines:  # ends when the queue is shut down and empty
        counts.put((line, len(line)))
    counts.shutdown()


lines, counts = atoll.create_queue(maxsize=2), atoll.create_queue()
with atoll.create() as interp:
    interp.call_in_thread(count_letters, lines, counts)
    for line in ["ring", "of", "islands"]:
        lines.put(line)  # waits while two lines are there already
    lines.shutdown()
    for line, letters in counts:
        print(line, letters)
