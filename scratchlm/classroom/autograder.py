"""The grader on a submission platform: an archive for Gradescope or Classroom 50, and the code that runs there.

In: exercises and a seed. Out: an archive with this package as a wheel, the rules, and the scripts that the platform
calls. There, `python -m scratchlm.classroom.autograder` grades the one submission it finds.
"""

import argparse
import base64
import hashlib
import importlib.metadata
import io
import json
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scratchlm.classroom.found import Place
from scratchlm.classroom.gradebook import Effort, graded
from scratchlm.classroom.own import enter
from scratchlm.classroom.rules import Rules, marks_of, rules_in
from scratchlm.classroom.sheets import classroom50, write_gradescope
from scratchlm.classroom.students import Student
from scratchlm.files import write_whole

PACKAGE = Path(__file__).parents[1]
RULES, OWN = "class.toml", "own"
BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest time in archives; the same files then make the same archive

# Gradescope unpacks the archive at /autograder/source, runs setup.sh once, and runs run_autograder for each submission.
# Its images come with an older Python; if they have none from 3.11 upwards, setup.sh installs one.
SETUP = """#!/usr/bin/env bash
set -euo pipefail
root=${AUTOGRADER:-/autograder}
newest() { for p in python3.14 python3.13 python3.12 python3.11 python3; do
    "$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo "$p" && return
done; return 1; }
if ! python=$(newest); then
    apt-get update && apt-get install -y python3.11 python3.11-venv
    python=$(newest)
fi
"$python" -m venv "$root/venv"
"$root/venv/bin/python" -m pip install --quiet "$root"/source/*.whl
"""
RUN = """#!/usr/bin/env bash
set -euo pipefail
root=${AUTOGRADER:-/autograder}
exec "$root/venv/bin/python" -m scratchlm.classroom.autograder --rules "$root/source/class.toml" \\
    --submission "$root/submission" --gradescope "$root/results"
"""
# Classroom 50 calls autograder.py, which lies beside the wheel, from the folder of the submission.
CLASSROOM50 = '''"""Grades the submission in this folder and writes result.json."""

import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent
subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--user", *map(str, here.glob("*.whl"))], check=True)
grade = [sys.executable, "-P", "-m", "scratchlm.classroom.autograder", "--rules", str(here / "class.toml")]
sys.exit(subprocess.run([*grade, "--submission", ".", "--classroom50", "result.json"]).returncode)
'''


def write_autograder(place: Path, platform: str, rules: Rules) -> None:
    """Write the archive for a platform: `platform` is gradescope or classroom50. Errors: OSError."""
    name, data = wheel()
    files = {name: data, RULES: _as_toml(rules).encode()}
    if platform == "gradescope":
        files |= {"setup.sh": SETUP.encode(), "run_autograder": RUN.encode()}
    else:
        files["autograder.py"] = CLASSROOM50.encode()
    for path in sorted(rules.own.glob("*.py")) if rules.own else ():
        if not path.stem.endswith("_solution"):
            files[f"{OWN}/{path.name}"] = path.read_bytes()
    archive = _zipped(files)
    write_whole(place, lambda file: file.write(archive))


def wheel() -> tuple[str, bytes]:
    """Return this package, as installed here, as a wheel: its name and its contents."""
    known = importlib.metadata.distribution("scratchlm")
    info = f"scratchlm-{known.version}.dist-info"
    files = {f"scratchlm/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in _of_the_package()}
    about = known.read_text("METADATA") or known.read_text("PKG-INFO") or ""  # installed, or in development
    files[f"{info}/METADATA"] = about.encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: scratchlm\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = (known.read_text("entry_points.txt") or "").encode()
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    return f"scratchlm-{known.version}-py3-none-any.whl", _zipped(files)


def _of_the_package() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zipped(files: dict[str, bytes]) -> bytes:
    """Return files as an archive in which scripts are executable."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, BEGINNING)
            info.external_attr = (0o100755 if content.startswith(b"#!") else 0o100644) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def _as_toml(rules: Rules) -> str:
    """Return the rules that concern one submission, as a class.toml; the platform knows what is late."""
    lines = [f"exercises = {list(rules.exercises)}", f"seed = {rules.seed}", f"budget = {rules.budget}"]
    lines += [f"seconds = {rules.seconds}", f"stars = {str(rules.stars).lower()}"]
    for name, table in (("points", rules.points), ("weights", rules.weights)):
        lines += (
            [f"{name} = {{ {', '.join(f'{number} = {value}' for number, value in table.items())} }}"] if table else []
        )
    return "\n".join([*lines, *([f'own = "{OWN}"'] if rules.own else []), ""])


# --- on the platform --------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade one submission by the rules in the archive; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scratchlm.classroom.autograder", description=__doc__)
    parser.add_argument("--rules", type=Path, required=True, metavar="FILE")
    parser.add_argument("--submission", type=Path, required=True, metavar="DIR")
    parser.add_argument("--gradescope", type=Path, metavar="DIR", help="folder for results.json")
    parser.add_argument("--classroom50", type=Path, metavar="FILE", help="result.json to write")
    options = parser.parse_args(arguments)
    rules = rules_in(options.rules)
    if rules.own:
        enter(rules.own)
    numbers = list(rules.exercises)
    student = Student("submission", "submission", (Place(options.submission),))
    result = graded(student, Effort(numbers, rules.seed, rules.budget, rules.seconds, rules.own))
    marks = marks_of(result["exercises"], numbers, rules, None)
    if options.gradescope:
        write_gradescope(options.gradescope, result, marks, rules)
    if options.classroom50:
        _write_json(options.classroom50, classroom50(result, numbers, os.environ))
    print(result["report"])
    return 0


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_whole(path, lambda file: file.write(json.dumps(value, indent=1).encode()))


if __name__ == "__main__":
    sys.exit(main())
