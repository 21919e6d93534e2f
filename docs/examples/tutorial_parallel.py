from atoll import InterpreterPoolExecutor


def count_primes(limit):
    sieve = bytearray([1]) * limit
    sieve[0:2] = b"\0\0"
    for n in range(2, int(limit**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, limit, n)))
    return sum(sieve)


limits = [10_000, 100_000, 500_000, 1_000_000]
with InterpreterPoolExecutor() as pool:
    for limit, primes in zip(limits, pool.map(count_primes, limits)):
        print(f"{primes:6,} primes below {limit:,}")
