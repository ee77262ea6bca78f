"""python -m scratchlm: train a model, sample from it, score texts with it, examine code, and set and check exercises.

It parses, calls, and prints, and knows no mathematics. What it prints for you to use goes to standard output, progress
and complaints to standard error; a complaint is one line, and the exit status is then 2.
"""

import argparse
import hashlib
import importlib
import math
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from scratchlm import checkpoint
from scratchlm.checkpoint import Checkpoint, Run
from scratchlm.data import Vocabulary, WordVocabulary, load_names, read_text, split_texts, windows_and_targets
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import HEADS, LOSSES, Objective
from scratchlm.optim import SGD, AdamW
from scratchlm.sampling import generate
from scratchlm.training import Data, Diverged, Optimizer, Progress, State, mean_nll, train

# What `examine` can hold a function against: properties.PROPERTIES, without loading Hypothesis for it.
KINDS = (
    "softmax, log_softmax, logsumexp, nll_loss, cross_entropy, softmax_backward, log_softmax_backward, "
    "logsumexp_backward, nll_loss_backward, cross_entropy_backward, apply_temperature, top_k, top_p, min_p"
)
VOCABULARIES: dict[str, type[Vocabulary] | type[WordVocabulary]] = {"character": Vocabulary, "word": WordVocabulary}
# What suits each model, where the command line leaves it open.
DEFAULTS = {"bigram": {"learning_rate": 0.1, "weight_decay": 0.0}, "mlp": {"learning_rate": 0.01, "weight_decay": 0.1}}
# What a run is resumed with, whatever else the command line says.
SETTINGS = [
    *("model", "tokens", "steps", "batch_size", "seed", "head", "loss", "held_out", "checkpoint_every"),
    *("context_length", "embedding_dim", "hidden_dim", "optimizer", "learning_rate", "weight_decay"),
]
JUDGES = 100_000  # targets at most that a model is judged by: their mean is right to about 0.01 nats
LARGE = 10_000_000  # bytes of text from which on it takes seconds to read


class Complaint(Exception):
    """Something the user can put right; shown as one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell (>&-)
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no such character shows "?"
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        options = _parser().parse_args(words[:1] if words[:1] == ["exercise"] else words)
        options.arguments = words[1:]
        status: int = options.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Nobody reads on. Python would flush standard output once more at exit, and complain: let it flush to nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain("nobody reads the output any more; stopped")
    except KeyboardInterrupt:
        return _complain("interrupted")
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (Complaint, Diverged, ValueError) as error:
        return _complain(str(error))
    except MemoryError:
        return _complain("there is not enough memory for that")


def _complain(message: str) -> int:
    line = " ".join(message.split())
    print("scratchlm:", line if len(line) <= 600 else f"{line[:400]} ... {line[-195:]}", file=sys.stderr)
    return 2


# --- the commands ----------------------------------------------------------------------------------------------------


def _train(options: argparse.Namespace) -> None:
    resumed = checkpoint.load(options.resume) if options.resume else None
    if resumed:
        options = _as_it_was(options, resumed)
    if options.out:
        _check_writable(options.out, options.text)
    for name, value in DEFAULTS[options.model].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    result, learning, held_out = _prepared(options, resumed)
    judged_by, its_name = (
        (held_out, "held-out texts") if len(held_out.targets) else (learning, "the texts it learned from")
    )
    judged_by = _some(judged_by, options.seed)
    count = sum(param.size for param in result.model.params.values())
    print(f"{options.model} with {count:,} parameters for {len(result.vocabulary)} tokens")
    print(f"learns from {len(learning.targets):,} targets, ", end="")
    print(f"judged by {len(judged_by.targets):,}: {its_name}", flush=True)

    run, optimizer = result.run, _new_optimizer(options, result.model)
    assert run
    if resumed:
        checkpoint.restore(optimizer, run)
        print(f"goes on after step {run.state.step:,} of {options.steps:,}", flush=True)
    settings = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    result = replace(result, run=replace(run, settings=settings, moments=optimizer.moments))
    _learn(options, result, optimizer, learning, judged_by)

    print(f"{its_name}: {_nats_and_bits(mean_nll(result.model, judged_by))}")
    print("it invents:", ", ".join(_texts(result, count=8, rng=options.seed)))
    if options.out:
        print(f"wrote {options.out}; try: python -m scratchlm sample {options.out}")
    else:
        print("not saved; --out MODEL.npz keeps it")


def _prepared(options: argparse.Namespace, resumed: Checkpoint | None) -> tuple[Checkpoint, Data, Data]:
    """Return what begins or goes on, what it learns from, and what is held out; of a large text, tell what is done."""
    size = options.text.stat().st_size if options.text and options.text.is_file() else 0

    def tell(doing: str) -> None:
        if size >= LARGE:
            print(f"{doing} {options.text} ({size / 1e6:,.0f} MB)", file=sys.stderr, flush=True)

    tell("reading")
    texts = read_text(options.text) if options.text else load_names()
    fingerprint = _fingerprint(texts) if options.out else ""
    if resumed and resumed.run and resumed.run.texts != fingerprint:
        told = f"{options.text} does not hold" if options.text else "these are not"
        raise Complaint(f"{told} the texts that {options.resume} learns from; tell it where they are: --text FILE")
    tell("finding the tokens of")
    result = resumed
    if not result:
        vocabulary = VOCABULARIES[options.tokens].from_texts(texts)
        run = Run({}, fingerprint, State(np.random.default_rng(options.seed)), {})
        model = _new_model(options, len(vocabulary))
        result = Checkpoint(model, vocabulary, Objective(options.head, options.loss), run)
    tell("numbering the tokens of")
    parts = split_texts(texts, options.held_out, options.seed)
    learning, held_out = (Data(*windows_and_targets(p, result.vocabulary, result.model.context_length)) for p in parts)
    return result, learning, held_out


def _learn(
    options: argparse.Namespace, result: Checkpoint, optimizer: Optimizer, learning: Data, judged_by: Data
) -> None:
    """Train, and keep the model: every now and then, when it is done, and when it is interrupted."""
    assert result.run
    state = result.run.state
    progress = Progress(options.steps, first=state.step)

    def keep(_: State) -> None:
        if options.out:
            checkpoint.save(options.out, result)

    with _asked_to_stop() as stop:
        unread = False
        try:
            train(
                result.model,
                result.objective,
                optimizer,
                learning,
                judged_by,
                steps=options.steps,
                batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                warmup=min(100, options.steps // 10),
                record_every=max(1, options.steps // 10),
                progress=progress,
                state=state,
                keep=keep,
                keep_every=options.checkpoint_every,
                stop=stop,
            )
            progress.finish()
        except BrokenPipeError:  # nobody reads the progress any more
            unread = True
        keep(state)
    if unread or state.step < options.steps:
        raise Complaint(f"interrupted after step {state.step:,} of {options.steps:,}{_how_to_go_on(options)}")


def _how_to_go_on(options: argparse.Namespace) -> str:
    if not options.out:
        return "; nothing is kept without --out"
    command = ["python", "-m", "scratchlm", "train", "--resume", str(options.out)]
    command += ["--text", str(options.text)] if options.text else []
    return f"; to go on: {shlex.join(command)}"


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, or a request to end, wait until a step is done: half a step is nothing to go on from.

    Who asks a second time is not made to wait.
    """
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_it_was(options: argparse.Namespace, resumed: Checkpoint) -> argparse.Namespace:
    """Return the options that a run was started with; they are read as strictly as a command line."""
    if not resumed.run:
        raise Complaint(f"{options.resume} holds a model, but no run to go on with")
    more = {"resume", "text", "out", "checkpoint_every"}
    if other := sorted(options.given - more):
        name = "--" + other[0].replace("_", "-")
        raise Complaint(f"--resume takes {name} from the file; a run that goes on cannot change it")
    settings = resumed.run.settings
    try:
        if not set(SETTINGS) - {"checkpoint_every"} <= set(settings) <= set(SETTINGS):
            raise Complaint("they are not those of train")
        words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        was = _parser().parse_args(["train", *words])
    except Complaint as complaint:
        raise Complaint(f"{options.resume} is not a model of scratchlm: its settings: {complaint}") from None
    was.text, was.out = options.text, options.out or options.resume
    if "checkpoint_every" in options.given:
        was.checkpoint_every = options.checkpoint_every
    was.resume = options.resume
    return was


def _fingerprint(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(texts), 1000):
        digest.update("\n".join(texts[start : start + 1000]).encode() + b"\n")
    return digest.hexdigest()


def _some(data: Data, seed: int) -> Data:
    """Return the data, or, of large data, a sample that is the same for the same seed."""
    if len(data.targets) <= JUDGES:
        return Data(data.contexts[:], data.targets)
    rows = np.sort(np.random.default_rng(seed).choice(len(data.targets), JUDGES, replace=False, shuffle=False))
    return Data(data.contexts[rows], data.targets[rows])


def _sample(options: argparse.Namespace) -> None:
    loaded = checkpoint.load(options.model)
    names = ("count", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "max_length")
    for text in _texts(loaded, rng=options.seed, **{name: getattr(options, name) for name in names}):
        print(text)


def _score(options: argparse.Namespace) -> None:
    loaded = checkpoint.load(options.model)
    texts = options.texts or [line.strip() for line in sys.stdin if line.strip()]
    if not texts:
        raise Complaint("there is no text to score: give it as an argument, or one a line on standard input")
    read = [Data(*windows_and_targets([text], loaded.vocabulary, loaded.model.context_length)) for text in texts]
    tokens = [len(data.targets) for data in read]
    nlls = [mean_nll(loaded.model, data) for data in read]
    print("    nats     bits  perplexity  tokens  text      (nats and bits per token, the end of the text included)")
    for nll, count, text in zip(nlls, tokens, texts, strict=True):
        print(_score_line(nll, count, text))
    if len(texts) > 1:
        mean = sum(nll * count for nll, count in zip(nlls, tokens, strict=True)) / sum(tokens)
        print(_score_line(mean, sum(tokens), f"(all {len(texts)} texts)"))


def _exercise(options: argparse.Namespace) -> int:
    from scratchlm.classroom import commands  # with Hypothesis, for this command only

    return commands.run(options.arguments, "scratchlm exercise")


def _examine(options: argparse.Namespace) -> int:
    """Print a line for each property, and the counterexamples under them; return 1 if one failed."""
    from scratchlm.properties import PROPERTIES, examine  # Hypothesis is loaded for this command only

    implementation = _imported(options.target)
    kind = options.kind or options.target.rpartition(":")[2].rpartition(".")[2]
    if kind not in PROPERTIES:
        raise Complaint(f"--as must be one of {', '.join(PROPERTIES)}; {kind!r} is none of them")
    print(f"{options.target} as {kind}, {options.budget} cases for each property")
    verdicts = examine(kind, implementation, tier=options.tier, budget=options.budget, seed=options.seed)
    for tier in dict.fromkeys(v.property.tier for v in verdicts):
        print(f"\n{tier}")
        for v in verdicts:
            if v.property.tier == tier:
                print(f"  {'✓' if v.passed else '✗'} {v.property.name:28} {v.property.identity}")
    failed = [v for v in verdicts if not v.passed]
    for v in failed:
        print(f"\n✗ {v.property.name}: {v.message}")
        for label, text in (("", v.counterexample), ("expected", v.expected), ("actual", v.actual)):
            if text:
                print("\n".join(f"    {label:9}{line}" for line in text.splitlines()))
        print(f"    why      {v.property.why}\n    hint     {v.property.hint}")
    print(f"\n{len(verdicts) - len(failed)} of {len(verdicts)} properties hold.", end="")
    if failed and all(v.property.tier == "accuracy" for v in failed):
        print(
            " Every identity does: this is a correct implementation. The oracle shows where digits can still be won.",
            end="",
        )
    print()
    return 1 if failed else 0


def _imported(target: str) -> Callable[..., object]:
    """Return what `module:name` names; the working folder is searched first, as python -m does."""
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise Complaint(f"{target!r} does not say what to examine; write MODULE:FUNCTION, as in scipy.special:softmax")
    sys.path.insert(0, os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise Complaint(f"cannot import {target}: {type(error).__name__}: {error}") from None
    if not callable(found):
        raise Complaint(f"{target} is a {type(found).__name__}, which cannot be called")
    return found


def _new_model(options: argparse.Namespace, vocab_size: int) -> LanguageModel:
    if options.model == "bigram":
        if vocab_size > 10_000:
            raise Complaint(
                f"a table for {vocab_size:,} tokens has {vocab_size**2:,} entries; --model mlp needs far fewer"
            )
        return BigramLM(vocab_size)
    return MLPLM(vocab_size, options.context_length, options.embedding_dim, options.hidden_dim, options.seed)


def _new_optimizer(options: argparse.Namespace, model: LanguageModel) -> Optimizer:
    if options.optimizer == "sgd":
        return SGD(model.params)
    return AdamW(model.params, weight_decay=options.weight_decay)


def _texts(loaded: Checkpoint, **options: object) -> list[str]:
    return [loaded.vocabulary.decode(ids) for ids in generate(loaded.model, **options)]  # type: ignore[arg-type]


def _nats_and_bits(nll: float) -> str:
    return f"{nll:.4f} nats per token = {nll / math.log(2):.4f} bits, perplexity {_perplexity(nll)}"


def _score_line(nll: float, tokens: int, text: str) -> str:
    return f"{nll:8.4f} {nll / math.log(2):8.4f} {_perplexity(nll):>11} {tokens:7}  {text}"


def _perplexity(nll: float) -> str:
    return f"{math.exp(min(nll, 700)):.2f}" if nll < 700 else str(nll)


def _check_writable(path: Path, text: Path | None) -> None:
    """Complain before an hour of training, not after it."""
    if path.is_dir():
        raise Complaint(f"{path} is a folder; --out needs a file name in it")
    if path.exists() and not path.is_file():
        raise Complaint(f"{path} is no ordinary file; --out would replace it")
    if text and text.exists() and path.exists() and path.samefile(text):
        raise Complaint(f"--out would replace the text that --text reads: {text}")
    if not path.parent.is_dir():
        raise Complaint(f"there is no folder {path.parent} to write {path.name} to")
    with checkpoint.beside(path) as trial:  # the same name, in the same folder, as when it is saved
        trial.unlink()


# --- the command line ------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Complaint(f"{message}; see {self.prog} --help")


class _Given(argparse.Action):
    """Store an option, and that it was given."""

    def __call__(self, _: object, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        setattr(namespace, self.dest, values)
        namespace.given |= {self.dest}


def _number(kind: type, low: float, high: float, what: str) -> Callable[[str], float]:
    """Return a reader of numbers from low to high, both included, that says what it wants when it does not get it."""

    def read(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return read


_TINY = float(np.nextafter(0, 1))
_HUGE = sys.float_info.max
_whole = _number(int, 1, 10**9, "a whole number from 1 to 1,000,000,000")
_whole_or_0 = _number(int, 0, 10**9, "a whole number from 0 to 1,000,000,000")
_above_0 = _number(float, _TINY, _HUGE, "a finite number above 0")
_from_0 = _number(float, 0, _HUGE, "a finite number of at least 0")
_share = _number(float, _TINY, 1, "a number above 0 and at most 1")
_below_1 = _number(float, 0, float(np.nextafter(1, 0)), "a number of at least 0 and below 1")


def _parser() -> _Parser:
    parser = _Parser(prog="scratchlm", description="Train a tiny language model by hand-written gradients, and use it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    p = commands.add_parser("train", help="train a model on names, or on the lines of a text file")
    p.set_defaults(run=_train, given=frozenset())
    p.register("action", None, _Given)
    add = p.add_argument
    add("--model", choices=["bigram", "mlp"], default="mlp", help="a table of logits, or Bengio's network (default)")
    add("--text", type=Path, metavar="FILE", help="a UTF-8 file, one text a line (default: 5,163 given names)")
    add("--tokens", choices=list(VOCABULARIES), default="character", help="what a token is (default: character)")
    add("--out", type=Path, metavar="MODEL.npz", help="where to keep the model (default: nowhere, or as --resume)")
    add("--checkpoint-every", type=_whole, metavar="N", help="keep it after every N steps, too (default: at the end)")
    add("--resume", type=Path, metavar="MODEL.npz", help="go on with a run that was interrupted (default: a new one)")
    add("--steps", type=_whole_or_0, default=4000, help="how many minibatches to learn from (default: 4000)")
    add("--batch-size", type=_whole, default=128, help="targets in a minibatch (default: 128)")
    add("--seed", type=_whole_or_0, default=0, help="the same seed gives the same model (default: 0)")
    add("--head", choices=list(HEADS), default="logits", help="what the model hands out (default: logits)")
    add("--loss", choices=list(LOSSES), default="cross_entropy", help="what is minimised (default: cross_entropy)")
    add("--held-out", type=_below_1, default=0.1, help="share of the texts to judge the model by (default: 0.1)")
    add("--context-length", type=_whole, default=8, help="tokens the mlp looks back (default: 8)")
    add("--embedding-dim", type=_whole, default=24, help="numbers the mlp has for a token (default: 24)")
    add("--hidden-dim", type=_whole, default=128, help="tanh units of the mlp (default: 128)")
    add("--optimizer", choices=["adamw", "sgd"], default="adamw", help="how to step (default: adamw)")
    add("--learning-rate", type=_above_0, help="the highest, after warm-up (default: 0.01 for mlp, 0.1 for bigram)")
    add("--weight-decay", type=_from_0, help="of adamw, towards 0 (default: 0.1 for mlp, 0 for bigram)")

    p = commands.add_parser("sample", help="write texts with a trained model")
    p.set_defaults(run=_sample)
    add = p.add_argument
    add("model", type=Path, metavar="MODEL.npz", help="what train wrote")
    add("--count", type=_whole, default=20, help="how many texts (default: 20)")
    add("--seed", type=_whole_or_0, default=0, help="the same seed gives the same texts (default: 0)")
    add("--temperature", type=_above_0, default=1.0, help="below 1 bolder, above 1 wilder (default: 1)")
    add("--top-k", type=_whole, help="draw from the k likeliest tokens only")
    add("--top-p", type=_share, help="draw from the fewest tokens that have probability p together")
    add("--min-p", type=_share, help="draw from tokens at least p times as likely as the likeliest")
    add("--repetition-penalty", type=_above_0, help="above 1 makes tokens of this text less likely to come again")
    add("--max-length", type=_whole, default=100, help="tokens a text may have (default: 100)")

    p = commands.add_parser("score", help="tell how likely a model finds texts")
    p.set_defaults(run=_score)
    add = p.add_argument
    add("model", type=Path, metavar="MODEL.npz", help="what train wrote")
    add("texts", nargs="*", metavar="TEXT", help="texts to score (default: the lines of standard input)")

    p = commands.add_parser("examine", help="hold any implementation against every identity, and against 60 digits")
    p.set_defaults(run=_examine)
    add = p.add_argument
    add("target", metavar="MODULE:FUNCTION", help="anything importable, as in scipy.special:softmax")
    add("--as", dest="kind", metavar="KIND", help=f"what it claims to be, if that is not its name: {KINDS}")
    add("--tier", choices=["identities", "accuracy"], help="only what is true of every textbook, or only the digits")
    add("--budget", type=_whole, default=100, help="cases for each property (default: 100)")
    add("--seed", type=_whole_or_0, default=0, help="the same seed gives the same cases (default: 0)")

    p = commands.add_parser("exercise", help="write the functions yourself, and have them checked; for teachers: grade")
    p.set_defaults(run=_exercise)
    return parser
