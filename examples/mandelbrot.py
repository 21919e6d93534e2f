"""A Mandelbrot picture, computed in rows by interpreters into one SharedBuffer.

    python examples/mandelbrot.py [--size 1200x800] [--jobs N] [--iterations N] [-o FILE]

Each interpreter takes the next row from an AtomicInt and writes its pixels
straight into the memory that all of them share: no row is ever sent.  The
picture is written as PNG by Pillow (`pip install "atoll[examples]"`), or,
where FILE ends in .ppm or .pgm, without it.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import atoll
from atoll.sync import AtomicInt


def compute_rows(buffer, next_row, width, height, iterations):
    """Until no row is left: one byte a pixel, how soon it escapes."""
    pixels = memoryview(buffer)
    while (row := next_row.add()) < height:
        line = bytearray(width)
        imaginary = (row / height - 0.5) * 2.5
        for column in range(width):
            c = complex((column / width - 0.7) * 3.5, imaginary)
            z = 0j
            for n in range(iterations):
                z = z * z + c
                if z.real * z.real + z.imag * z.imag > 4.0:
                    line[column] = 255 - n * 255 // iterations
                    break
        pixels[row * width : (row + 1) * width] = line


def size(text):
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 1200x800")
    return int(width), int(height)


def positive(text):
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def write(buffer, width, height, path):
    if path.suffix in {".ppm", ".pgm"}:
        with open(path, "wb") as file:
            file.write(b"P5 %d %d 255\n" % (width, height))
            file.write(buffer)
        return
    from PIL import Image

    Image.frombuffer("L", (width, height), buffer, "raw", "L", 0, 1).save(path)


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument(
    "--size", type=size, default=(900, 600), help="width x height in pixels (default: 900x600)"
)
parser.add_argument(
    "--jobs", type=positive, default=os.cpu_count() or 2, help="interpreters (default: one a core)"
)
parser.add_argument("--iterations", type=positive, default=80, help="steps before a point counts as inside")
parser.add_argument(
    "-o", "--output", type=Path, default=Path("mandelbrot.png"), help="default: mandelbrot.png"
)
args = parser.parse_args()
width, height = args.size
if args.output.suffix not in {".ppm", ".pgm"}:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        sys.exit('To write this format takes Pillow: pip install "atoll[examples]"; or give -o FILE.pgm')

picture, next_row = atoll.SharedBuffer(width * height), AtomicInt()
start = time.perf_counter()
interps = [atoll.create() for _ in range(min(args.jobs, height))]
work = (compute_rows, picture, next_row, width, height, args.iterations)
threads = [interp.call_in_thread(*work) for interp in interps]
for thread in threads:
    while thread.is_alive():
        thread.join(0.2)
        if sys.stderr.isatty():
            print(f"\r{min(next_row.load(), height)} of {height} rows", end="", file=sys.stderr, flush=True)
    thread.future.result()
if sys.stderr.isatty():
    print(file=sys.stderr)
for interp in interps:
    interp.close()
write(picture, width, height, args.output)
seconds = time.perf_counter() - start
print(f"{args.output}: {width}x{height} in {seconds:.2f} s by {len(interps)} interpreters")
