"""A Mandelbrot picture, computed in rows by interpreters into one SharedBuffer.

    python examples/mandelbrot.py [--size 1200x800] [--jobs N] [--iterations N] [-o FILE]

Each interpreter takes the next row from an AtomicInt and writes its pixels
straight into the memory that all of them share: no row is ever sent.  The
picture is written from there as PNG, or, if FILE ends in .pgm, without being
compressed.
"""

import argparse
import os
import struct
import sys
import time
import zlib
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


def write_pgm(file, buffer, width, height):
    file.write(b"P5 %d %d 255\n" % (width, height))
    file.write(buffer)


def write_png(file, buffer, width, height):
    """Grey, 8 bits a pixel, each row unfiltered (a zero before it)."""

    def chunk(kind, data):
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    packer = zlib.compressobj()
    pixels = memoryview(buffer)
    packed = []
    for start in range(0, width * height, width):
        packed += packer.compress(b"\0"), packer.compress(pixels[start : start + width])
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    chunk(b"IDAT", b"".join(packed) + packer.flush())
    chunk(b"IEND", b"")


WRITERS = {".png": write_png, ".pgm": write_pgm}

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
if args.output.suffix not in WRITERS:
    parser.error(f"{args.output}: not one of {', '.join(WRITERS)}")

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
with open(args.output, "wb") as file:
    WRITERS[args.output.suffix](file, picture, width, height)
seconds = time.perf_counter() - start
print(f"{args.output}: {width}x{height} in {seconds:.2f} s by {len(interps)} interpreters")
