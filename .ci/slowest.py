#!/usr/bin/env python3
"""Runs `cargo test` with the arguments given, and then prints the twenty tests that took longest.

The test harness of stable Rust does not tell how long a test took, but when each ends. It starts them in the order of
their names, and a new one whenever one ends: with at least two threads their starts follow from that.
"""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

RUNNING = re.compile(r"running (\d+) tests?$")
ENDED = re.compile(r"test (\S+) \.\.\. (?:ok|FAILED|ignored)")
TARGET = re.compile(r"\s+(?:Running .*[/(]([\w-]+)-[0-9a-f]{16}\)|Doc-tests (\S+))$")
SHOWN = 20


def threads():
    """As many as .cargo/config.toml or the environment says, at least two."""
    config = Path(__file__).resolve().parent.parent / ".cargo" / "config.toml"
    configured = tomllib.loads(config.read_text())["env"]["RUST_TEST_THREADS"]
    return max(2, int(os.environ.get("RUST_TEST_THREADS", configured)))


def durations(began, ends, slots):
    """Each test's seconds, from when its program began and when which of them ended, in that order."""
    names = sorted(name for name, _ in ends)
    starts = [began] * slots + [at for _, at in ends]
    started = dict(zip(names, starts))
    return [(at - started[name], name) for name, at in ends]


def main():
    slots = threads()
    environment = os.environ | {"RUST_TEST_THREADS": str(slots)}
    cargo = subprocess.Popen(
        ["cargo", "test", *sys.argv[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    )
    program, began, ends, slowest, built = "", 0.0, [], [], None
    start = time.monotonic()
    for line in cargo.stdout:
        print(line, end="", flush=True)
        now = time.monotonic()
        if found := TARGET.match(line.rstrip()):
            program = found[1] or found[2]
            built = built or now - start
        elif RUNNING.match(line.rstrip()):
            began, ends = now, []
        elif found := ENDED.match(line):
            ends.append((found[1], now))
        elif line.startswith("test result:"):
            slowest += [(seconds, f"{program} {name}") for seconds, name in durations(began, ends, slots)]
    status = cargo.wait()
    total = time.monotonic() - start
    print(f"\n{total:.0f} s, of which {built or total:.0f} s to compile. The slowest tests, of {slots} at a time:")
    for seconds, name in sorted(slowest, reverse=True)[:SHOWN]:
        print(f"{seconds:6.1f} s  {name}")
    return status


if __name__ == "__main__":
    sys.exit(main())
