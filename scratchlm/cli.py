"""python -m scratchlm: train a model, sample from it, score texts with it, examine code, and set and check exercises.

It parses, calls and prints, and contains no mathematics. Results go to standard output; progress and errors go to
standard error. An error is one line, and the exit status is then 2.
"""

import argparse
import contextlib
import io
import json
import math
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

import scratchlm
from scratchlm import checkpoint, files, runs, terminal
from scratchlm.checkpoint import Checkpoint
from scratchlm.data import texts_in, windows_and_targets
from scratchlm.progress import Progress
from scratchlm.sampling import generate
from scratchlm.settings import ABOVE_0, SETTINGS, SHARE, WHOLE, WHOLE_OR_0, Choice, Complaint, File, Number, Settings
from scratchlm.terminal import complain
from scratchlm.training import Data, Diverged, mean_nll

# The kinds of function that `examine` knows: those of properties.PROPERTIES, without loading Hypothesis.
KINDS = (
    "softmax, log_softmax, logsumexp, nll_loss, cross_entropy, softmax_backward, log_softmax_backward, "
    "logsumexp_backward, nll_loss_backward, cross_entropy_backward, apply_temperature, top_k, top_p, min_p"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with terminal.careful_output() as (out, _):
        status = _run(words)
        out.flush()
        return complain(out.why) if out.failed and status < 2 else status


def _run(words: list[str]) -> int:
    if not words:
        print(scratchlm.OVERVIEW, end="")
        return 0
    try:
        options = _parser().parse_args(words[:1] if words[:1] == ["exercise"] else words)
        options.arguments = words[1:]
        with np.errstate(all="ignore"):  # huge parameters give a number, or an error in one line
            return options.run(options) or 0
    except SystemExit as end:  # argparse, after --help
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return complain("interrupted")
    except (Complaint, Diverged, ValueError, OSError, MemoryError) as error:
        return complain(terminal.in_words(error))


# --- the commands ----------------------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> None:
    job: runs.Job | None = None
    try:
        with terminal.requests_to_end(terminal.interrupt):
            given = {name: value for name, value in vars(options).items() if name in SETTINGS and value is not None}
            if options.resume:
                job = runs.resume(options.resume, options.text, options.out, **given)
            else:
                job = runs.begin(Settings.of(**given), options.text, options.out)
            _introduce(job, bool(options.resume))
            nll = runs.learn(job, Progress(job.settings.steps, first=job.state.step))
            _conclude(job, nll)
    except KeyboardInterrupt:
        begun = runs.where_it_stands(job) if job else ""
        raise Complaint(begun or runs.not_begun(options.resume, options.text, options.out)) from None


def _introduce(job: runs.Job, goes_on: bool) -> None:
    count = sum(param.size for param in job.result.model.params.values())
    print(f"{job.settings.model} with {count:,} parameters for {len(job.result.vocabulary):,} tokens")
    print(f"learns from {len(job.learning.targets):,} targets, ", end="")
    print(f"judged by {len(job.judged_by.targets):,}: {job.judge}", flush=True)
    if goes_on:
        print(f"resumes after step {job.state.step:,} of {job.settings.steps:,}", flush=True)


def _conclude(job: runs.Job, nll: float) -> None:
    print(f"{job.judge}: {nll:.4f} nats per token = {nll / math.log(2):.4f} bits, perplexity {_perplexity(nll)}")
    print("it invents:", ", ".join(_texts(job.result, count=8, rng=job.settings.seed)))
    name = terminal.shell_word(job.out)
    told = f"wrote {name}; try: python -m scratchlm sample {name}" if job.out else "not saved; --out MODEL.npz saves it"
    print(told, flush=True)


def _sample(options: argparse.Namespace) -> None:
    loaded = checkpoint.load(options.model)
    names = ("count", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_length")
    for text in _texts(loaded, rng=options.seed, **{name: getattr(options, name) for name in names}):
        print(text)


def _score(options: argparse.Namespace) -> None:
    loaded = checkpoint.load(options.model)
    texts = options.texts or _lines_of_standard_input()
    read = [Data(*windows_and_targets([text], loaded.vocabulary, loaded.model.context_length)) for text in texts]
    tokens = [len(data.targets) for data in read]
    nlls = [mean_nll(loaded.model, data) for data in read]
    if any(math.isnan(nll) for nll in nlls):
        raise Complaint(f"the parameters of {options.model} are too large: its scores are not finite")
    print("    nats     bits  perplexity  tokens  text      (nats and bits per token, including the end of the text)")
    for nll, count, text in zip(nlls, tokens, texts, strict=True):
        print(_score_line(nll, count, text))
    if len(texts) > 1:
        mean = sum(nll * count for nll, count in zip(nlls, tokens, strict=True)) / sum(tokens)
        print(_score_line(mean, sum(tokens), f"(all {len(texts)} texts)"))


def _lines_of_standard_input() -> list[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict", newline=None)  # like any file of texts
    try:
        return texts_in(sys.stdin or [], "standard input")
    except ValueError as error:
        raise Complaint(f"there is no text to score: {error}; you can also pass texts as arguments") from None


def _exercise(options: argparse.Namespace) -> int:
    from scratchlm.classroom import commands  # with Hypothesis, for this command only

    return commands.run(options.arguments, "scratchlm exercise")


def _examine(options: argparse.Namespace) -> int:
    from scratchlm.properties import examine  # with Hypothesis, for this command only
    from scratchlm.properties.imported import imported, kind_of

    if options.junit:
        files.try_to_write(options.junit)  # fail now, not after a long examination
    out = sys.stderr if options.json else sys.stdout  # for anything that the function itself prints
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(sys.stderr):  # they may be replaced
        f, kind = imported(options.target), kind_of(options.target, options.kind)
        if not options.json:
            print(f"{terminal.in_one_line(options.target)} as {kind}, {options.budget} cases for each property\n")
        report = examine(kind, f, tier=options.tier, dtype=options.dtype, budget=options.budget, seed=options.seed)
    print(json.dumps(report.to_json(), indent=1) if options.json else report)
    if options.junit:
        files.write_whole(options.junit, lambda file: file.write(report.to_junit()))
    return 0 if report.passed else 1


def _texts(loaded: Checkpoint, **options: object) -> list[str]:
    written = generate(loaded.model, **options)  # type: ignore[arg-type]
    return [terminal.escaped(loaded.vocabulary.decode(ids), keep="\t") for ids in written]


def _score_line(nll: float, tokens: int, text: str) -> str:
    bits, shown = nll / math.log(2), terminal.escaped(text, keep="\t")
    return f"{nll:8.4f} {bits:8.4f} {_perplexity(nll):>11} {tokens:7}  {shown}"


def _perplexity(nll: float) -> str:
    return f"{math.exp(min(nll, 700)):.2f}" if nll < 700 else str(nll)


# --- the command line ------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser that complains in one line; a `Number` or a `Choice` says which values an option takes."""

    def error(self, message: str) -> NoReturn:
        raise Complaint(f"{message}; see {self.prog} --help")

    def option(self, name: str, values: Choice | File | Number, text: str, **more: Any) -> None:
        """Add an option, or an argument, that must be one of these values."""

        def read(given: str) -> object:
            try:
                return values.read(given)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None  # argparse shows the message of this one only

        if isinstance(values, Choice):
            more["metavar"] = "{" + ",".join(values.names) + "}"
        self.add_argument(name, type=read, help=text, **more)

    def setting(self, name: str, text: str, **more: Any) -> None:
        """Add the option for a setting of a run; it has no default, since `Settings` has one."""
        self.option(name, SETTINGS[name.removeprefix("--").replace("-", "_")], text, **more)

    def file(self, name: str, metavar: str, text: str) -> None:
        self.option(name, File(), text, metavar=metavar)


def _parser() -> _Parser:
    parser = _Parser(prog="scratchlm", description="Train a tiny language model by hand-written gradients, and use it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    p = commands.add_parser("train", help="train a model on names, or on the lines of a text file")
    p.set_defaults(run=_train)
    p.setting("--model", "a table of logits, or Bengio's network (default)")
    p.file("--text", "FILE", "a UTF-8 file, one text per line (default: 5,163 given names)")
    p.setting("--tokens", "what a token is (default: character)")
    p.file("--out", "MODEL.npz", "where to save the model (default: nowhere, or as --resume)")
    p.setting("--checkpoint-every", "save it after every N steps as well (default: at the end)", metavar="N")
    p.file("--resume", "MODEL.npz", "continue an interrupted run (default: a new one)")
    p.setting("--steps", "how many minibatches to learn from (default: 4000)")
    p.setting("--batch-size", "targets in a minibatch (default: 128)")
    p.setting("--seed", "the same seed gives the same model (default: 0)")
    p.setting("--head", "what the model outputs (default: logits)")
    p.setting("--loss", "what training minimises (default: cross_entropy)")
    p.setting("--held-out", "share of the texts held out to judge the model by (default: 0.1)")
    p.setting("--context-length", "how many tokens the mlp looks back (default: 8)")
    p.setting("--embedding-dim", "numbers per token in the mlp (default: 24)")
    p.setting("--hidden-dim", "tanh units of the mlp (default: 128)")
    p.setting("--optimizer", "how to take a step (default: adamw)")
    p.setting("--learning-rate", "the highest one, after warm-up (default: 0.01 for mlp, 0.1 for bigram)")
    p.setting("--weight-decay", "how strongly adamw pulls weights to 0 (default: 0.1 for mlp, 0 for bigram)")

    p = commands.add_parser("sample", help="write texts with a trained model")
    p.set_defaults(run=_sample)
    p.file("model", "MODEL.npz", "what train wrote")
    p.option("--count", WHOLE, "how many texts (default: 20)", default=20)
    p.option("--seed", WHOLE_OR_0, "the same seed gives the same texts (default: 0)", default=0)
    p.option("--temperature", ABOVE_0, "below 1 safer, above 1 wilder (default: 1)", default=1.0)
    p.option("--top-k", WHOLE, "draw only from the k likeliest tokens")
    p.option("--top-p", SHARE, "draw from the fewest tokens that together have probability p")
    p.option("--min-p", SHARE, "draw from tokens at least p times as likely as the likeliest")
    p.option("--repetition-penalty", ABOVE_0, "above 1, tokens that the text already has become less likely")
    p.option("--max-length", WHOLE, "most tokens per text (default: 100)", default=100)

    p = commands.add_parser("score", help="print how likely a model finds texts")
    p.set_defaults(run=_score)
    p.file("model", "MODEL.npz", "what train wrote")
    p.add_argument("texts", nargs="*", metavar="TEXT", help="texts to score (default: the lines of standard input)")

    p = commands.add_parser("examine", help="test any implementation against every identity, and against 60 digits")
    p.set_defaults(run=_examine)
    p.add_argument("target", metavar="MODULE:FUNCTION", help="anything importable, as in scipy.special:softmax")
    p.add_argument(
        "--as", dest="kind", metavar="KIND", help=f"what it claims to be, if its name does not say so: {KINDS}"
    )
    p.option("--tier", Choice(("identities", "manners", "accuracy")), "test only its mathematics, behaviour or digits")
    p.option("--dtype", Choice(("float32", "float64")), "judge it in this dtype only (default: in all that it keeps)")
    p.option("--budget", WHOLE, "cases for each property (default: 100)", default=100)
    p.option("--seed", WHOLE_OR_0, "the same seed gives the same cases (default: 0)", default=0)
    p.add_argument("--json", action="store_true", help="print JSON")
    p.file("--junit", "FILE", "also write JUnit XML there, for a CI server (default: nowhere)")

    p = commands.add_parser("exercise", help="write the functions yourself and have them checked; for teachers: grade")
    p.set_defaults(run=_exercise)
    return parser
