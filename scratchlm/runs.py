"""A run of training from start to end: begin it or resume it, learn, keep what was learned, and stop when asked to.

In: settings, and a file of texts. Out: a `Job`, ready to learn; then `learn` trains its model, and keeps it in a file
from which the run can be resumed. A run that was interrupted ends as if it had never been: all that its next step
depends on is in that file, but for the texts, of which the file has a fingerprint only.
"""

import hashlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scratchlm import checkpoint
from scratchlm.checkpoint import Checkpoint, Run
from scratchlm.data import Vocabulary, WordVocabulary, load_names, read_text, split_texts, windows_and_targets
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import Objective
from scratchlm.optim import SGD, AdamW
from scratchlm.progress import Progress
from scratchlm.settings import SETTINGS, Complaint, Settings
from scratchlm.training import Data, Optimizer, State, train

JUDGES = 100_000  # targets at most that a model is judged by: their mean is right to about 0.01 nats
LARGE = 10_000_000  # bytes of text from which on it takes seconds to read


@dataclass(frozen=True)
class Job:
    """A run that is ready to learn."""

    settings: Settings
    text: str | Path | None  # None: the bundled names
    out: str | Path | None  # None: nothing is kept
    result: Checkpoint  # the model, and all that is kept with it
    state: State  # of the run: where it stands
    optimizer: Optimizer
    learning: Data
    judged_by: Data
    judge: str  # what it is judged by, in words


# --- before it learns ------------------------------------------------------------------------------------------------


def begin(settings: Settings, text: str | Path | None = None, out: str | Path | None = None) -> Job:
    """Return a new run on the lines of a text file, or on the bundled names, that is to be kept in the file `out`.

    Errors: Complaint if `out` cannot be written to, or if the model would be too large; OSError or ValueError for a
    text that cannot be read.

    >>> from scratchlm.training import mean_nll
    >>> job = begin(Settings.of(model="bigram", steps=200))
    >>> learn(job)
    >>> mean_nll(job.result.model, job.judged_by) < 2.6  # a model that knows nothing has log(27) = 3.3
    True
    """
    if out:
        _check_writable(out, text)
    texts = _texts(text)
    fingerprint = _fingerprint(texts) if out else ""
    _tell("finding the tokens of", text)
    vocabulary = WordVocabulary.from_texts(texts) if settings.tokens == "word" else Vocabulary.from_texts(texts)
    model = _new_model(settings, len(vocabulary))
    optimizer = _new_optimizer(settings, model)
    run = Run(settings.stored(), fingerprint, State(np.random.default_rng(settings.seed)), optimizer.moments)
    result = Checkpoint(model, vocabulary, Objective(settings.head, settings.loss), run)
    return _job(settings, text, out, texts, result, optimizer)


def resume(path: str | Path, text: str | Path | None = None, out: str | Path | None = None, **changes: object) -> Job:
    """Return the run that a file holds; it goes on from where it stands, and is kept in the same file, or in `out`.

    The text must be the one that the run began with. Of the settings, only checkpoint_every may change.
    Errors: as for `begin`; and Complaint if there is no run to go on with, or for any other change.
    """
    found = checkpoint.load(path)
    if not found.run:
        raise Complaint(f"{path} holds a model, but no run to go on with")
    settings = _as_it_was(path, found.run, changes)
    out = out or path
    _check_writable(out, text)
    texts = _texts(text)
    if found.run.texts != _fingerprint(texts):
        told = f"{text} does not hold" if text else "these are not"
        raise Complaint(f"{told} the texts that {path} learns from; tell it where they are: --text FILE")
    optimizer = _new_optimizer(settings, found.model)
    checkpoint.restore(optimizer, found.run)
    run = replace(found.run, settings=settings.stored(), moments=optimizer.moments)
    return _job(settings, text, out, texts, replace(found, run=run), optimizer)


def _as_it_was(path: str | Path, run: Run, changes: dict[str, object]) -> Settings:
    """Return the settings of a run, which are checked as if somebody had typed them, with the changes."""
    if other := sorted(set(changes) - {"checkpoint_every"}):
        name = "--" + other[0].replace("_", "-")
        raise Complaint(f"--resume takes {name} from the file; a run that goes on cannot change it")
    try:
        if not isinstance(run.settings, dict) or {*run.settings, "checkpoint_every"} != set(SETTINGS):
            raise Complaint("they are not those of train")
        settings = Settings.of(**run.settings)
    except Complaint as complaint:
        raise Complaint(f"{path} is not a model of scratchlm: its settings: {complaint}") from None
    return Settings.of(**{**settings.stored(), **changes})


def _check_writable(out: str | Path, text: str | Path | None) -> None:
    """Complain before an hour of training, not after it."""
    path, source = Path(out), Path(text) if text else None
    if path.is_dir():
        raise Complaint(f"{path} is a folder; --out needs a file name in it")
    if path.exists() and not path.is_file():
        raise Complaint(f"{path} is no ordinary file; --out would replace it")
    if source and source.exists() and path.exists() and path.samefile(source):
        raise Complaint(f"--out would replace the text that --text reads: {source}")
    if not path.parent.is_dir():
        raise Complaint(f"there is no folder {path.parent} to write {path.name} to")
    with checkpoint.beside(path) as trial:  # the same name, in the same folder, as when it is saved
        trial.unlink()


def _texts(text: str | Path | None) -> list[str]:
    """Return the texts of a file, or the bundled names."""
    _tell("reading", text)
    return read_text(text) if text else load_names()


def _tell(doing: str, text: str | Path | None) -> None:
    """Say what is done with a text, if it is so large that this takes seconds."""
    size = Path(text).stat().st_size if text and Path(text).is_file() else 0
    if size >= LARGE:
        print(f"{doing} {text} ({size / 1e6:,.0f} MB)", file=sys.stderr, flush=True)


def _fingerprint(texts: Sequence[str]) -> str:
    """Return a digest of texts: other texts have another one."""
    digest = hashlib.sha256()
    for start in range(0, len(texts), 1000):
        digest.update("\n".join(texts[start : start + 1000]).encode() + b"\n")
    return digest.hexdigest()


def _new_model(settings: Settings, vocab_size: int) -> LanguageModel:
    """Return a model that has learned nothing yet."""
    if settings.model == "mlp":
        return MLPLM(vocab_size, settings.context_length, settings.embedding_dim, settings.hidden_dim, settings.seed)
    if vocab_size > 10_000:
        raise Complaint(f"a table for {vocab_size:,} tokens has {vocab_size**2:,} entries; --model mlp needs far fewer")
    return BigramLM(vocab_size)


def _new_optimizer(settings: Settings, model: LanguageModel) -> Optimizer:
    """Return an optimizer that has taken no step yet."""
    if settings.optimizer == "sgd":
        return SGD(model.params)
    return AdamW(model.params, weight_decay=settings.weight_decay)


def _job(
    settings: Settings,
    text: str | Path | None,
    out: str | Path | None,
    texts: Sequence[str],
    result: Checkpoint,
    optimizer: Optimizer,
) -> Job:
    """Return a job, with its texts divided into those that it learns from and those that it is judged by."""
    assert result.run
    _tell("numbering the tokens of", text)
    length = result.model.context_length
    parts = split_texts(texts, settings.held_out, settings.seed)
    learning, held_out = (Data(*windows_and_targets(part, result.vocabulary, length)) for part in parts)
    if len(held_out.targets):
        judged_by, judge = held_out, "held-out texts"
    else:
        judged_by, judge = learning, "the texts it learned from"
    judged_by = _some(judged_by, settings.seed)
    return Job(settings, text, out, result, result.run.state, optimizer, learning, judged_by, judge)


def _some(data: Data, seed: int) -> Data:
    """Return the data, or, of large data, a sample that is the same for the same seed."""
    if len(data.targets) <= JUDGES:
        return Data(data.contexts[:], data.targets)
    rows = np.sort(np.random.default_rng(seed).choice(len(data.targets), JUDGES, replace=False, shuffle=False))
    return Data(data.contexts[rows], data.targets[rows])


# --- while it learns -------------------------------------------------------------------------------------------------


def learn(job: Job, progress: Progress | None = None) -> None:
    """Train the model of a job, and keep it: every now and then, when it is done, and when it is interrupted.

    Errors: Complaint that says how to go on, if it was interrupted; Diverged, as `train`; OSError if it cannot be kept.
    """
    settings = job.settings

    def keep(_: State) -> None:
        if job.out:
            checkpoint.save(job.out, job.result)

    with _asked_to_stop() as stop:
        unread = False
        try:
            train(
                job.result.model,
                job.result.objective,
                job.optimizer,
                job.learning,
                job.judged_by,
                steps=settings.steps,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                warmup=min(100, settings.steps // 10),
                record_every=max(1, settings.steps // 10),
                progress=progress,
                state=job.state,
                keep=keep,
                keep_every=settings.checkpoint_every,
                stop=stop,
            )
            if progress:
                progress.finish()
        except BrokenPipeError:  # nobody reads the progress any more
            unread = True
        keep(job.state)
    if unread or job.state.step < settings.steps:
        at = f"interrupted after step {job.state.step:,} of {settings.steps:,}"
        raise Complaint(f"{at}; {_how_to_go_on(job)}")


def _how_to_go_on(job: Job) -> str:
    """Return the command that resumes an interrupted job, or that there is none."""
    if not job.out:
        return "nothing is kept without --out"
    command = ["python", "-m", "scratchlm", "train", "--resume", str(job.out)]
    command += ["--text", str(job.text)] if job.text else []
    return f"to go on: {shlex.join(command)}"


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
