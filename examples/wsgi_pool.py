"""A web server whose CPU-bound work runs in interpreters.

    pip install waitress
    python examples/wsgi_pool.py [--port N] [--demo]

waitress answers in threads of the main interpreter; a thread hands the heavy
part (here: factoring a number) to the pool and waits without the GIL, so that
other requests are answered meanwhile.  A request that takes too long is
stopped at its deadline and answered with 503: the worker goes on with others.

    curl http://127.0.0.1:8080/factor/600851475143

--demo starts the server, sends requests over one kept-alive connection, and
ends.
"""

from __future__ import annotations

import argparse
import http.client
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from atoll import ExecutionTimeout, InterpreterPoolExecutor


def factor(n: int) -> list[int]:
    """The prime factors of n, by trial."""
    found, divisor = [], 2
    while divisor * divisor <= n:
        while not n % divisor:
            found.append(divisor)
            n //= divisor
        divisor += 1
    return [*found, n] if n > 1 else found


def make_app(pool: InterpreterPoolExecutor, seconds: float) -> Callable[..., Iterable[bytes]]:
    timed = pool.options(timeout=seconds)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, answer = "404 Not Found", {"error": "try /factor/12 or /health"}
        path = environ["PATH_INFO"]
        if path == "/health":
            status, answer = "200 OK", pool.stats()
        elif path.startswith("/factor/") and path[8:].isdecimal() and len(path) < 40:
            try:
                status, answer = "200 OK", {"factors": timed.submit(factor, int(path[8:])).result()}
            except ExecutionTimeout:
                status, answer = "503 Service Unavailable", {"error": "that takes too long"}
        body = json.dumps(answer).encode() + b"\n"
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return app


def demo(port: int) -> None:
    """Several requests over one connection."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sockets = set()
    for path in ["/factor/600851475143", "/factor/1000000016000000063", "/factor/12", "/nothing", "/health"]:
        client.request("GET", path)
        answer = client.getresponse()
        print(answer.status, path, answer.read().decode().strip())
        sockets.add(client.sock.fileno() if client.sock else None)
    print(f"over {len(sockets)} connection")
    client.close()


def stop(server: Any, sockets: dict[int, Any]) -> None:
    """End server.run(), which another thread is in."""
    from waitress import wasyncore

    # First the threads that answer requests: each one's last act is to wake
    # the server's loop, for which the loop must still have its pipe.
    server.task_dispatcher.shutdown()
    # The loop closes its own sockets; it ends when none is left.
    server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--deadline", type=float, default=2.0, help="seconds for a request")
    parser.add_argument("--demo", action="store_true")
    args = parser.parse_args()
    try:
        from waitress.server import create_server
    except ImportError:
        raise SystemExit("this example needs waitress: pip install waitress") from None

    with InterpreterPoolExecutor(args.jobs) as pool:
        sockets: dict[int, Any] = {}  # all that the server's loop waits for
        app = make_app(pool, args.deadline)
        server = create_server(app, sockets, host="127.0.0.1", port=0 if args.demo else args.port)
        port = server.effective_port
        print(f"http://127.0.0.1:{port}/factor/600851475143")
        if not args.demo:
            server.run()
            return
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            demo(port)
        finally:
            stop(server, sockets)
            thread.join()


main()
