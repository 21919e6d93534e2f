import asyncio
from concurrent.futures import wait

from atoll import InterpreterPoolExecutor


def digits(n):
    return len(str(n))


async def main(pool):
    loop = asyncio.get_running_loop()
    # str() of an int has a limit of 4300 digits.
    return await asyncio.gather(*(loop.run_in_executor(pool, digits, 2**n) for n in (10, 100, 1000)))


with InterpreterPoolExecutor(2) as pool:
    print("asyncio:", asyncio.run(main(pool)))
    done, waiting = wait([pool.submit(digits, 3**n) for n in (10, 100)], timeout=60)
    print("wait():", sorted(future.result() for future in done), "waiting:", len(waiting))
