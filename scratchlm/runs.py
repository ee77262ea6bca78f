"""A training run from start to end: begin or resume it, learn, save the model, and stop when asked to.

In: settings and a file of texts. Out: a `Job`, ready to learn. Then `learn` trains its model and saves it in a file
from which the run can be resumed. An interrupted run ends as if nothing had happened: the file contains all that the
next step depends on, except the texts, of which it has only a fingerprint.
"""

import hashlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scratchlm import checkpoint, terminal
from scratchlm.checkpoint import Checkpoint, Run
from scratchlm.data import Vocabulary, WordVocabulary, load_names, read_text, split_texts, windows_and_targets
from scratchlm.files import destination, try_to_write
from scratchlm.models import MLPLM, BigramLM, LanguageModel
from scratchlm.objectives import Objective
from scratchlm.optim import SGD, AdamW
from scratchlm.progress import Progress
from scratchlm.settings import SETTINGS, Complaint, Settings
from scratchlm.training import Data, Optimizer, State, mean_nll, train

JUDGES = 100_000  # most targets to judge a model by: their mean is right to about 0.01 nats
FEWEST_JUDGES = 1000  # for a large vocabulary; they take as long as a few steps
JUDGED_LOGITS = 2**27  # most logits for all of them together: with 50,000 tokens, these take seconds
MOST_PARAMETERS = 100_000_000  # training stores five numbers for each: 2 GB
MOST_LOSSES = 100_000  # losses stored until a record has their mean
LARGE = 10_000_000  # bytes: a text of this size takes seconds to read


@dataclass
class Job:
    """A run that is ready to learn, and where it is saved."""

    settings: Settings
    text: str | Path | None  # None: the bundled names
    out: str | Path | None  # None: nothing is saved
    result: Checkpoint  # the model, and everything saved with it
    state: State  # the state of the run
    optimizer: Optimizer
    learning: Data
    judged_by: Data
    judge: str  # a description of that data
    began: int  # the step at which it began or resumed
    kept: str | Path | None  # the file from which it can be resumed
    kept_at: int | None  # the step at which it was last saved there


# --- before it learns ------------------------------------------------------------------------------------------------


def begin(settings: Settings, text: str | Path | None = None, out: str | Path | None = None) -> Job:
    """Return a new run on the lines of a text file, or on the bundled names, to be saved in the file `out`.

    Errors: Complaint if `out` cannot be written to, or if the model would be too large; OSError or ValueError for a
    text that cannot be read.

    >>> job = begin(Settings.of(model="bigram", steps=200))
    >>> learn(job) < 2.6  # nats per token; a model that knows nothing has log(27) = 3.3
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
    return _job(settings, text, out, texts, result, optimizer, kept=None)


def resume(path: str | Path, text: str | Path | None = None, out: str | Path | None = None, **changes: object) -> Job:
    """Return the run stored in a file; it continues from there, and is saved in the same file or in `out`.

    The text must be the one that the run began with. Of the settings, only checkpoint_every may change.
    Errors: as for `begin`; and Complaint if there is no run to go on with, or for any other change.
    """
    found = checkpoint.load(path)
    if not found.run:
        raise Complaint(f"{path} contains a model, but no run to resume")
    settings = _as_it_was(path, found.run, changes)
    out = out or path
    _check_writable(out, text)
    texts = _texts(text)
    if found.run.texts != _fingerprint(texts):
        raise Complaint(f"{path} was trained on other text; pass it with --text FILE")
    optimizer = _new_optimizer(settings, found.model)
    checkpoint.restore(optimizer, found.run)
    run = replace(found.run, settings=settings.stored(), moments=optimizer.moments)
    return _job(settings, text, out, texts, replace(found, run=run), optimizer, kept=path)


def _as_it_was(path: str | Path, run: Run, changes: dict[str, object]) -> Settings:
    """Return the settings of a run with the changes; they are checked as if they had been typed."""
    if other := sorted(set(changes) - {"checkpoint_every"}):
        name = "--" + other[0].replace("_", "-")
        raise Complaint(f"--resume takes {name} from the file; a resumed run cannot change it")
    try:
        if not isinstance(run.settings, dict) or {*run.settings, "checkpoint_every"} != set(SETTINGS):
            raise Complaint("they are not the settings of a run")
        settings = Settings.of(**run.settings)
    except Complaint as complaint:
        raise Complaint(f"{path} is not a model of scratchlm: its settings: {complaint}") from None
    return Settings.of(**{**settings.stored(), **changes})


def _check_writable(out: str | Path, text: str | Path | None) -> None:
    """Raise a Complaint before an hour of training, not after it."""
    if Path(out).is_dir():
        raise Complaint(f"{out} is a folder; --out needs a file name in it")
    if Path(out).exists() and not Path(out).is_file():
        raise Complaint(f"{out} is not an ordinary file; --out would replace it")
    path, source = destination(out), Path(text) if text else None
    if source and source.exists() and path.exists() and path.samefile(source):
        raise Complaint(f"--out would replace the text that --text reads: {source}")
    if not Path(out).parent.is_dir():
        raise Complaint(f"there is no folder {Path(out).parent} to write {Path(out).name} to")
    try_to_write(out)


def _texts(text: str | Path | None) -> list[str]:
    """Return the texts of a file, or the bundled names."""
    _tell("reading", text)
    return read_text(text) if text else load_names()


def _tell(doing: str, text: str | Path | None) -> None:
    """Print what is being done with a text, if it is so large that this takes seconds."""
    size = Path(text).stat().st_size if text and Path(text).is_file() else 0
    if size >= LARGE:
        with suppress(OSError, ValueError):  # nothing depends on this line
            print(f"{doing} {terminal.in_one_line(text)} ({size / 1e6:,.0f} MB)", file=sys.stderr, flush=True)


def _fingerprint(texts: Sequence[str]) -> str:
    """Return a digest of texts: different texts have different ones."""
    digest = hashlib.sha256()
    for start in range(0, len(texts), 1000):
        digest.update("\n".join(texts[start : start + 1000]).encode() + b"\n")
    return digest.hexdigest()


def _new_model(settings: Settings, vocab_size: int) -> LanguageModel:
    """Return a model that has learned nothing yet."""
    v, c, e, h = vocab_size, settings.context_length, settings.embedding_dim, settings.hidden_dim
    mlp = settings.model == "mlp"
    count = v * (e + h + 1) + h * (c * e + 1) if mlp else v**2
    if count > MOST_PARAMETERS and mlp:
        fewer = f"choose smaller sizes than --embedding-dim {e} --hidden-dim {h} --context-length {c}"
        most = f"and at most {MOST_PARAMETERS:,} are allowed"
        raise Complaint(f"a network for {v:,} tokens would have {count:,} parameters, {most}; {fewer}")
    if count > MOST_PARAMETERS:
        raise Complaint(f"a table for {v:,} tokens would have {count:,} entries; --model mlp needs far fewer")
    return MLPLM(v, c, e, h, settings.seed) if mlp else BigramLM(v)


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
    kept: str | Path | None,
) -> Job:
    """Return a job, with its texts split into those to learn from and those to be judged by."""
    assert result.run
    _tell("numbering the tokens of", text)
    length = result.model.context_length
    parts = split_texts(texts, settings.held_out, settings.seed)
    learning, held_out = (Data(*windows_and_targets(part, result.vocabulary, length)) for part in parts)
    if len(held_out.targets):
        judged_by, judge = held_out, "held-out texts"
    else:
        judged_by, judge = learning, "the texts it learned from"
    judged_by = _some(judged_by, len(result.vocabulary), settings.seed)
    state = result.run.state
    began, kept_at = state.step, state.step if kept else None
    return Job(settings, text, out, result, state, optimizer, learning, judged_by, judge, began, kept, kept_at)


def _some(data: Data, vocab_size: int, seed: int) -> Data:
    """Return the data, or, if it is large, a sample that depends only on the seed."""
    most = max(FEWEST_JUDGES, min(JUDGES, JUDGED_LOGITS // vocab_size))
    if len(data.targets) <= most:
        return Data(data.contexts[:], data.targets)
    rows = np.sort(np.random.default_rng(seed).choice(len(data.targets), most, replace=False, shuffle=False))
    return Data(data.contexts[rows], data.targets[rows])


# --- while it learns -------------------------------------------------------------------------------------------------


def learn(job: Job, progress: Progress | None = None) -> float:
    """Train the model of a job and return its NLL; save it now and then, at the end, and when interrupted.

    The first Ctrl-C waits until the step is done, because half a step cannot be resumed. A second one stops at once.
    Errors: Complaint that says how to resume, if interrupted; Diverged, as `train`; OSError if it cannot be saved.
    """
    settings = job.settings

    def keep(state: State) -> None:
        if job.out:
            checkpoint.save(job.out, job.result)
            job.kept, job.kept_at = job.out, state.step

    with terminal.requests_wait() as asked:
        try:
            history = train(
                job.result.model,
                job.result.objective,
                job.optimizer,
                job.learning,
                job.judged_by,
                steps=settings.steps,
                batch_size=settings.batch_size,
                learning_rate=settings.learning_rate,
                warmup=min(100, settings.steps // 10),
                record_every=max(1, min(settings.steps // 10, MOST_LOSSES)),
                progress=progress,
                state=job.state,
                keep=keep,
                keep_every=settings.checkpoint_every,
                stop=lambda: bool(asked),
            )
            if progress:
                progress.finish()
            if job.state.step > job.began or not asked:
                keep(job.state)
            nll = history[-1].nll if history and history[-1].step == settings.steps else None
        except KeyboardInterrupt:  # a second request
            asked.append(0)
        if asked:
            raise Complaint(where_it_stands(job))
    return mean_nll(job.result.model, job.judged_by) if nll is None else nll


def where_it_stands(job: Job) -> str:
    """Return the state of a job that is interrupted now, and how to resume it, if there is more to do."""
    step, steps = job.state.step, job.settings.steps
    if job.kept and job.kept_at == steps:
        return f"interrupted; {job.kept} is complete"
    if step == job.began:
        return not_begun(job.kept, job.text, job.out)
    at = f"interrupted after step {step:,} of {steps:,}"
    if not job.kept:
        return f"{at}; nothing is saved" + ("" if job.out else " without --out")
    if job.kept_at != step:  # a second request came before the step could be saved
        at += f"; {job.kept} is saved at step {job.kept_at:,}"
    return f"{at}; to resume: {_how_to_go_on(job.kept, job.text, job.out)}"


def not_begun(kept: str | Path | None, text: str | Path | None, out: str | Path | None) -> str:
    """Return the state of a run, new or saved in a file, that is interrupted before its first step."""
    if not kept:
        return "interrupted before the first step; nothing was learned yet"
    return f"interrupted; {kept} is unchanged; to resume: {_how_to_go_on(kept, text, out)}"


def _how_to_go_on(kept: str | Path, text: str | Path | None, out: str | Path | None) -> str:
    """Return the command that resumes a run."""
    words = {"--resume": kept, "--text": text, "--out": None if out == kept else out}
    options = (f"{option} {terminal.shell_word(word)}" for option, word in words.items() if word)
    return f"python -m scratchlm train {' '.join(options)}"
