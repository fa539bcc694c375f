"""Runs each provider's function by `cargo lambda watch` beside `bridge dev`, as docs/local.md says, and invokes it with a signed sample.

The event is as `bridge sign` makes it, then as `sam local generate-event` does for an HTTP API and for a REST API. Each must be
answered 200 and be delivered. Run it in the repository's root, with cargo-lambda and sam on the PATH.
"""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

BRIDGE = ["cargo", "run", "--locked", "--quiet", "--"]
# Each is an end that only a hanging machine reaches: the first invocation compiles the function.
COMPILED_WITHIN_S = 900
DONE_WITHIN_S = 60


def run(*command: str, within_s: float = DONE_WITHIN_S) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done


@contextlib.contextmanager
def running(*command: str, log: Path):
    """A program for as long as the block runs, and then nothing of it."""
    with log.open("wb") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    except BaseException:
        print(f"== {' '.join(command)}\n{log.read_text(errors='replace')}")
        raise
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DONE_WITHIN_S)
        # What it has started has its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(what: str, is_so, process: subprocess.Popen, within_s: float = DONE_WITHIN_S):
    end = time.monotonic() + within_s
    while not (found := is_so()):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended before {what}")
        if time.monotonic() > end:
            sys.exit(f"not within {within_s} s: {what}")
        time.sleep(0.1)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def announced(dev: subprocess.Popen) -> bool:
    try:
        return json.loads(Path(".bridge/dev.json").read_text())["pid"] == dev.pid
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def signed(provider: str, sample: Path) -> tuple[str, dict]:
    """The key of a new event, and API Gateway's event of its delivery."""
    sign = run(*BRIDGE, "sign", provider, str(sample), "--fresh", "--as", "apigw", within_s=COMPILED_WITHIN_S)
    return re.search(r"New event: (\S+)", sign.stderr)[1], json.loads(sign.stdout)


def as_sam_has_it(kind: str, event: dict) -> dict:
    path, headers = event["rawPath"].strip("/"), event["headers"]
    generated = json.loads(run("sam", "local", "generate-event", "apigateway", kind, "--path", path).stdout)
    generated["headers"] |= headers
    if "multiValueHeaders" in generated:
        generated["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    assert generated["isBase64Encoded"]
    generated["body"] = base64.b64encode(event["body"].encode()).decode()
    return generated


def state(key: str) -> str:
    return json.loads(run(*BRIDGE, "events", "show", key, "--json").stdout)["state"]


def main():
    expected = tomllib.loads(Path("events/expected.toml").read_text())
    samples = {}
    for sample, ends_as in expected.items():
        if ends_as["state"] == "delivered":
            samples.setdefault(sample.split("/")[0], Path("events") / sample)
    bridge_dev = [*BRIDGE, "dev", "--port", "0"]
    with tempfile.TemporaryDirectory() as folder, running(*bridge_dev, log=Path(folder, "dev.log")) as dev:
        until("`bridge dev` is up", lambda: announced(dev), dev, COMPILED_WITHIN_S)
        for provider, sample in samples.items():
            port = free_port()
            at = ["--invoke-address", "127.0.0.1", "--invoke-port", str(port)]
            watch = ["cargo", "lambda", "watch", "-p", provider, "--env-file", f".bridge/{provider}.env", *at]
            watch += ["--locked", "--ignore-changes"]
            with running(*watch, log=Path(folder, f"{provider}.log")) as host:
                until("cargo-lambda listens", lambda: listens(port), host)
                for kind in ["bridge sign", "http-api-proxy", "aws-proxy"]:
                    key, event = signed(provider, sample)
                    if kind != "bridge sign":
                        event = as_sam_has_it(kind, event)
                    file = Path(folder, "event.json")
                    file.write_text(json.dumps(event))
                    invoke = ["cargo", "lambda", "invoke", provider, "--data-file", str(file), *at]
                    answer = json.loads(run(*invoke, within_s=COMPILED_WITHIN_S).stdout)
                    assert (answer["statusCode"], answer["body"]) == (200, '{"status":"accepted"}'), answer
                    until(f"{key} is delivered", lambda: state(key) == "delivered", host)
                    print(f"{provider}, {kind}: 200, delivered")
                url = f"http://127.0.0.1:{port}/lambda-url/{provider}"
                sent = run(*BRIDGE, "send", provider, str(sample), "--fresh", "--url", url)
                key = re.search(r"New event: (\S+)", sent.stderr)[1]
                until(f"{key} is delivered", lambda: state(key) == "delivered", host)
                print(f"{provider}, bridge send: {sent.stdout.split()[0]}, delivered")
    # One for every provider that the routes name.
    sections = tomllib.loads(Path("routes.toml").read_text())
    routed = {name for name, section in sections.items() if "routes" in section}
    assert routed == samples.keys(), (routed, samples)


main()
