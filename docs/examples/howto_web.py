"""An asyncio server: the loop answers, interpreters compute."""

import asyncio

import atoll
from atoll import aio

timed = aio.options(timeout=30.0)


def factor(n):
    found, divisor = [], 2
    while divisor * divisor <= n:
        while not n % divisor:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return [*found, n] if n > 1 else found


async def handle(reader, writer):
    line = await reader.readline()
    try:
        # The loop goes on; if the client's task is cancelled, so is the work.
        answer = await timed.to_interpreter(factor, int(line))
    except ValueError:
        answer = "not a number"
    except atoll.ExecutionTimeout:
        answer = "that takes too long"
    writer.write(f"{answer}\n".encode())
    await writer.drain()
    writer.close()


async def ask(port, text):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{text}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    await writer.wait_closed()
    return answer


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    questions = ["600851475143", "12", "spam"]
    for question, answer in zip(questions, await asyncio.gather(*(ask(port, q) for q in questions))):
        print(question, answer)
    server.close()
    await server.wait_closed()


asyncio.run(main())
