# What is run most often. `just` alone lists it; `just --show NAME` prints the commands.

_list:
    @just --list --unsorted

# All that must hold before the tests: format, lints, documentation, dependencies
check:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --document-private-items
    cargo deny --locked check licenses bans sources

# All tests, or those whose name contains the first argument
test *arguments:
    cargo test --locked --workspace {{ arguments }}

# All tests, and then the twenty that took longest
slowest *arguments:
    python3 .ci/slowest.py --locked --workspace {{ arguments }}

# What a first run takes: a fresh clone, nothing downloaded, nothing compiled
first-run:
    python3 .ci/first_run.py

# The bridge on this machine, with its page on http://127.0.0.1:9000
page *arguments:
    cargo run --locked -- dev {{ arguments }}

# Speed and size beside baselines of the same run
bench *arguments:
    cargo run --locked --release -p benches --bin bench {{ arguments }}

# Every fuzz target, or those named, for so many seconds each
fuzz seconds *targets:
    fuzz/run {{ seconds }} {{ targets }}

# Everything that must hold of a commit
ci:
    .ci/run
