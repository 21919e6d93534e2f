"""stdlib_census.py's way with processes: started by it, not by you.

A worker process imports the function that it is to run, and imports the main
script again too.  So this way needs a module of its own, with a guard.  The
definitions are the same: the text of stdlib_census.py between two headings.
"""

import argparse
import ast
import json
import os
import sysconfig
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

warnings.simplefilter("ignore")
_script = Path(__file__).with_name("stdlib_census.py").read_text()
exec(_script.partition("# ---- the work\n")[2].partition("# ---- the ways\n")[0])


def census_or_skip(path):
    try:
        return census_of(path)
    except Unparsable:
        return Census(skipped=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    paths = files_of_the_library(args.limit)
    started = time.perf_counter()
    total = Census()
    with ProcessPoolExecutor(args.jobs) as pool:
        for census in pool.map(census_or_skip, paths, chunksize=8):
            total.add(census)
            os.write(1, b".\n")
    print(json.dumps({"census": vars(total), "seconds": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
