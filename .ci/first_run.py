#!/usr/bin/env python3
"""What a first run takes: the README's command in a fresh clone, with nothing downloaded and nothing compiled.

Clones what this checkout has committed, and runs the command with an empty cargo home, into which only the configuration
of yours is copied. Prints the seconds, the CPU seconds, and the crates that took longest to compile.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = ["cargo", "run", "--timings", "--", "dev", "--once", "--port", "0"]
SHOWN = 20


def environment(home):
    """This one, but for what would have cargo find something that is there already."""
    yours = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    for name in ("config.toml", "config"):
        if (yours / name).is_file():
            shutil.copy(yours / name, home)
    settings = {name: value for name, value in os.environ.items() if not name.startswith("CARGO")}
    return settings | {"CARGO_HOME": str(home), "CARGO_TERM_COLOR": "never"}


def units(clone):
    """What cargo's report of its timings says of each crate: its name and the seconds of its compilation."""
    report = (clone / "target/cargo-timings/cargo-timing.html").read_text()
    found = json.loads(re.search(r"const UNIT_DATA = (\[.*?\]);\n", report, re.DOTALL)[1])
    seconds = {}
    for unit in found:
        seconds[unit["name"]] = seconds.get(unit["name"], 0) + unit["duration"]
    return seconds


def main():
    checkout = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder, "bridge"), Path(folder, "cargo")
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", "--no-local", checkout, clone], check=True)
        start = time.monotonic()
        status = subprocess.run(COMMAND, cwd=clone, env=environment(home), stdin=subprocess.DEVNULL).returncode
        seconds = time.monotonic() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        crates = units(clone)
    cpu, cores = used.ru_utime + used.ru_stime, len(os.sched_getaffinity(0))
    print(f"\n{' '.join(COMMAND)}\n{seconds:.0f} s on {cores} cores, {cpu:.0f} s of CPU, {len(crates)} crates.")
    print("The slowest to compile, in seconds while others compiled beside them:")
    for name in sorted(crates, key=crates.get, reverse=True)[:SHOWN]:
        print(f"{crates[name]:6.1f} s  {name}")
    return status


if __name__ == "__main__":
    sys.exit(main())
