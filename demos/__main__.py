"""Run every demo, in order: python -m demos [--out DIR]. A line for each, and where its pictures went."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path


def main() -> int:
    """Run each numbered script in a process of its own; return 0 if all went well."""
    parser = argparse.ArgumentParser(prog="python -m demos", description="Run every demo, in order.")
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for pictures (default: pictures)")
    out = parser.parse_args().out
    scripts = sorted(Path(__file__).parent.glob("[0-9][0-9]_*.py"))
    failed = []
    for script in scripts:
        print(f"{script.stem:<14}", end="", flush=True)
        start = time.monotonic()
        command = [sys.executable, str(script), "--out", str(out)]
        run = subprocess.run(command, capture_output=True, text=True, env={"OPENBLAS_NUM_THREADS": "1", **os.environ})
        pictures = [line.split(": ", 1)[1] for line in run.stdout.splitlines() if line.startswith("picture: ")]
        question = run.stdout.split("\n", 1)[0]
        if run.returncode:
            failed.append(script)
            print(f"failed after {time.monotonic() - start:.0f} s\n{run.stdout}{run.stderr}", flush=True)
        else:
            print(f"{time.monotonic() - start:4.1f} s   {question}", flush=True)
            print("".join(f"{'':14}         {picture}\n" for picture in pictures), end="", flush=True)
    print(
        f"\n{len(scripts) - len(failed)} of {len(scripts)} demos ran. Read one: python {os.path.relpath(scripts[0])}",
        flush=True,
    )
    return 2 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # `| head`; what Python would flush at exit goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("nobody reads the output any more; stopped", file=sys.stderr)
        sys.exit(2)
