# %% [markdown]
# # What moves when you turn a knob: the scores, the probabilities, or nothing at all?
#
# Five tokens A to E have scores z, their logits, and softmax turns whatever it is fed into probabilities. Turn one knob
# after another, and before each turn say what will move.

# %%
from scratchlm.pages.console import Parser
from scratchlm.pages.plumbing import BLUE, GREEN, GREY, ORANGE, PINK, SKY, in_a_notebook, plt

import sys
from itertools import count
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.widgets import RadioButtons, Slider

from scratchlm.files import write_whole
from scratchlm.functional import log_softmax, logsumexp, softmax
from scratchlm.sampling import apply_temperature
from scratchlm.terminal import complain

TRY = [
    "Add c: the scores and Z move by c; the log-probs and the probabilities stay put.",
    "Feed log-probs instead of logits, and turn T: at any T you get the probabilities of the logits.",
    "Feed probabilities as if they were logits: the row goes flat. At T = 1 none can exceed e / (e + 4) = 0.405.",
    "Choose float16, set E to -20, feed log(softmax), raise T: E is gone. Log-probs keep it.",
    "Choose float16 and c = 1000: its numbers are 0.5 apart there, so z + c is rounded, and probabilities move.",
]
TOKENS = ["A", "B", "C", "D", "E"]
DTYPES = ["float16", "float32", "float64"]
FED = {
    "logits: z + c": lambda logits: logits,
    "log-probs: log_softmax(z + c)": log_softmax,
    "probabilities: softmax(z + c)": softmax,
    "their log: log(softmax(z + c))": lambda logits: np.log(softmax(logits)),
}
LOGITS, LOG_PROBS, PROBS, LOG_OF_PROBS = FED

# %% [markdown]
# ## The mathematics: from the knobs to the numbers

# %%


class State(NamedTuple):
    """The settings of the knobs."""

    z: tuple[float, ...] = (3.2, 1.3, 0.0, -2.1, -12.0)
    c: float = 0.0
    temperature: float = 1.0
    dtype: str = "float64"
    fed: str = LOGITS


class Numbers(NamedTuple):
    """The numbers of a state, and the expected ones: those of z / T in float64, without c and without a detour."""

    scores: np.ndarray
    log_probs: np.ndarray
    probs: np.ndarray
    Z: float  # of the scores fed
    Z_of_logits: float  # of z + c
    expected_log_probs: np.ndarray
    expected_probs: np.ndarray

    @property
    def moved(self):
        """The largest difference between a probability and its expected value."""
        return np.abs(self.probs - self.expected_probs).max()


def compute(z, c, temperature, dtype, fed):
    """Return the numbers of a state."""
    logits = np.array(z, dtype) + np.dtype(dtype).type(c)
    with np.errstate(divide="ignore"):  # the log of 0 is -inf, as it should be
        scores = FED[fed](logits)
    Z, Z_of_logits = float(logsumexp(scores)), float(logsumexp(logits))
    now, expected = apply_temperature(scores, temperature), apply_temperature(z, temperature)
    return Numbers(scores, log_softmax(now), softmax(now), Z, Z_of_logits, log_softmax(expected), softmax(expected))


# %% [markdown]
# ## The sentence above the picture

# %%


def tell(state, now):
    """Return a sentence about this state, on two lines."""
    T, top = f"T = {state.temperature:.3g}", number(now.probs.max())
    unmoved = "no probability moved by more than 0.001"
    gone = np.isneginf(now.scores)
    if state.fed == PROBS:
        most = softmax(apply_temperature(np.eye(len(TOKENS), dtype=state.dtype)[0], state.temperature))[0]
        should = number(now.expected_probs[now.probs.argmax()])
        seen = f"With probabilities fed, no score is above 1: the top token gets {top};"
        return f"{seen}\nat {T} it can get at most {number(most)}; the logits give it {should}"
    if gone.any():
        names, lost = ", ".join(np.array(TOKENS)[gone]), number(now.expected_probs[gone].sum())
        seen = f"In {state.dtype} the probability of {names} was 0, and log(0) is -inf:"
        return f"{seen}\ngone at every T; the logits give {lost}"
    if now.moved > 0.001:
        step = np.spacing(np.abs(np.add(state.z, state.c)).max().astype(state.dtype))
        why = f"near z + c its numbers are up to {step:.3g} apart"
        if state.fed == LOG_OF_PROBS:
            why = f"with log-probs fed, by {number(compute(*state._replace(fed=LOG_PROBS)).moved, 4)}"
        return f"Rounding in {state.dtype} moved a probability by {number(now.moved, 4)};\n{why}"
    if state.fed != LOGITS:
        seen = "Log-probs do as well as logits" if state.fed == LOG_PROBS else "No probability is 0, so all have a log"
        return f"{seen}: with Z = {now.Z:z.2f} instead of {now.Z_of_logits:z.2f},\n{unmoved}"
    if state.c:
        before = compute(*state._replace(c=0.0)).Z
        return f"Adding c = {state.c:.0f} moved Z from {before:z.2f} to {now.Z:z.2f} nats;\n{unmoved}"
    if state.temperature != 1:
        before = number(compute(*state._replace(temperature=1.0)).probs.max())
        seen = f"{T} makes every gap between scores {1 / state.temperature:.3g} times as large:"
        return f"{seen}\nthe top probability is {top}; at T = 1 it is {before}"
    return f"The highest score, {now.scores.max():z.2f}, gets probability {top}.\nTurn a knob: what moves?"


def number(x, digits=3):
    """Return a number with this many digits after the point; a tiny one as 2e-09, so that it does not look like 0."""
    return f"{x:.1g}" if 0 < abs(x) < 10.0**-digits else f"{x:z.{digits}f}"


# %% [markdown]
# ## The bars

# %%

ROWS, BOTTOM, HEIGHT, WIDTH = range(len(TOKENS)), 0.45, 0.33, 0.15  # the last three as fractions of the figure
NATS = 48  # visible length of an axis in nats: the same gap has the same width in both panels and every state


class Panel:
    """A bar for each token, its number beside it, and a black tick where the bar should end."""

    def __init__(self, figure, left, unit, color, view, ticks, digits=2):
        self.view, self.digits = np.array(view), digits
        self.axes = axes = figure.add_axes((left, BOTTOM, WIDTH, HEIGHT), facecolor="none")
        self.bars = axes.barh(ROWS, [0] * len(ROWS), height=0.6, color=color)
        (self.ticks,) = axes.plot([], [], "|", color="black", markersize=20, markeredgewidth=2)
        place = {"transform": axes.get_yaxis_transform(), "va": "center"}
        self.numbers = [axes.text(1.53, row, "", ha="right", fontsize=12, **place) for row in ROWS]
        self.cuts = [axes.text(0.01, row, "", color="white", **place) for row in ROWS]
        axes.set(ylim=(len(ROWS) - 0.5, -0.5), yticks=[])
        axes.xaxis.set_major_locator(plt.MultipleLocator(ticks))
        axes.xaxis.set_tick_params(labelsize=12)
        axes.set_xlabel(unit, fontsize=12)

    def show(self, title, values, expected=(), shift=0.0):
        """Draw values in the view, moved by shift; mark bars that leave it, and values of -inf."""
        low, high = self.view + shift
        self.axes.set_title(title, fontsize=13, fontweight="normal", loc="left")
        self.axes.set_xlim(low, high)
        self.ticks.set_data(expected, ROWS[: len(expected)])
        for bar, label, cut, value in zip(self.bars, self.numbers, self.cuts, values.tolist(), strict=True):
            bar.set_width(value if np.isfinite(value) else 0)
            cut.set_text("◂" if -np.inf < value < low else "")
            label.set(text=number(value, self.digits), fontweight="normal" if np.isfinite(value) else "bold")


# %% [markdown]
# ## The window

# %%

KNOBS = [*TOKENS, "offset c", "temperature T"]
START = [*State().z, State().c, np.log10(State().temperature)]  # T's knob turns its logarithm
RANGES = [(-20, 20)] * len(TOKENS) + [(-1000, 1000), (np.log10(0.05), np.log10(20))]
STEPS = [1.0] * len(TOKENS) + [100.0, 0.1]
TURNS = {"left": -1, "right": 1, "shift+left": -0.1, "shift+right": 0.1}
KEYS = "↑ ↓ choose a knob    ← → turn it (shift: a tenth)    d dtype    f fed    r reset    s save    h hints    q quit"
FOOTERS = [KEYS, *(f"Try: {hint}" for hint in TRY)]


class Explorer:
    """The window: the logits' knobs in line with their bars, the other knobs below, and the keys."""

    def __init__(self):
        with plt.rc_context({"toolbar": "None"}):
            self.figure = figure = plt.figure(figsize=(10, 6.5))
        figure.set_layout_engine("none")  # every position below is set by hand
        manager = figure.canvas.manager
        manager.set_window_title("What moves when you turn a knob?")
        figure.canvas.mpl_disconnect(manager.key_press_handler_id)  # Matplotlib's own keys: s, f, r, left, right, ...
        figure.canvas.mpl_connect("key_press_event", self.press)
        self.title = figure.text(0.02, 0.97, "", va="top", fontsize=16, fontweight="bold", linespacing=1.3)
        self.scores = Panel(figure, 0.25, "nats (dashed: Z)", BLUE, (-NATS / 2, NATS / 2), 20)
        self.log_probs = Panel(figure, 0.505, "nats", GREEN, (2 - NATS, 2), 20)
        self.probs = Panel(figure, 0.76, "no unit", ORANGE, (0, 1), 0.5, 3)
        self.Z_line = self.scores.axes.axvline(0, color="black", linestyle="--", linewidth=1.5)
        self.Z_text = figure.text(0.02, 0.315, "", fontsize=12)
        figure.text(0.02, BOTTOM + HEIGHT + 0.01, "logits z", fontsize=13)
        figure.text(0.505, 0.315, "black ticks: expected, from z / T in float64", fontsize=12, color=GREY)
        self.footer = figure.text(0.02, 0.025, KEYS, fontsize=11, color=GREY)
        self.dtype = self._buttons("computed in", (0.488, 0.08, 0.16, 0.17), DTYPES, State().dtype)
        self.fed = self._buttons("fed to softmax", (0.65, 0.08, 0.34, 0.17), list(FED), State().fed)
        bands = [BOTTOM + HEIGHT * (1 - (row + 1) / len(ROWS)) for row in ROWS]
        for y in bands[::2]:
            band = plt.Rectangle((0.01, y), 0.985, HEIGHT / len(ROWS), color=GREY, alpha=0.1, zorder=-1)
            figure.add_artist(band)
        places = [(0.05, y + HEIGHT / len(ROWS) / 2 - 0.02, 0.1, 0.04) for y in bands]
        self.sliders = [
            self._slider(*each) for each in enumerate([*places, (0.2, 0.21, 0.2, 0.04), (0.2, 0.13, 0.2, 0.04)])
        ]
        self.update(chosen=KNOBS.index("offset c"))

    def _slider(self, i, place):
        slider = Slider(self.figure.add_axes(place), KNOBS[i], *RANGES[i], valinit=START[i], initcolor="none")
        slider.label.set(x=-0.12, fontsize=13)
        slider.valtext.set(x=1.1, fontsize=13)
        slider.drawon = False  # `update` draws
        slider.on_changed(lambda _: self.update(chosen=i))
        return slider

    def _buttons(self, title, place, names, start):
        axes = self.figure.add_axes(place, frame_on=False)
        axes.set_title(title, fontsize=13, fontweight="normal", x=0.12, ha="left")
        look = {"label_props": {"fontsize": [12]}, "radio_props": {"s": [90], "facecolor": PINK}}
        buttons = RadioButtons(axes, names, names.index(start), useblit=False, **look)
        for label in buttons.labels:
            label.set_x(0.15 + 0.016 / place[2])  # the same distance from its button in a wide field as in a narrow one
        buttons.drawon = False
        buttons.on_clicked(lambda _: self.update())
        return buttons

    @property
    def state(self):
        """The settings of the knobs, rounded to the digits shown."""
        *z, c, log_T = (slider.val for slider in self.sliders)
        T = float(f"{10**log_T:.3g}")
        return State(tuple(round(x, 1) for x in z), round(c), T, self.dtype.value_selected, self.fed.value_selected)

    def update(self, chosen=None):
        """Show the numbers of the state, and mark the knob that the keys turn."""
        self.chosen = self.chosen if chosen is None else chosen
        state = self.state
        now = compute(*state)
        top = now.scores.max()
        shift = top - np.clip(top, -4, 22)  # just enough to keep the top score in view
        self.scores.show(f"scores fed\n{state.fed.split(': ')[1]}", now.scores, shift=shift)
        self.log_probs.show("log-probs\nlog_softmax(scores / T)", now.log_probs, now.expected_log_probs)
        self.probs.show("probabilities\nsoftmax(scores / T)", now.probs, now.expected_probs)
        for row in np.flatnonzero(np.isneginf(now.scores)):
            self.probs.numbers[row].set(text="gone", fontweight="bold")
        self.Z_line.set_xdata([now.Z, now.Z])
        self.Z_text.set_text(f"Z of the scores fed: {now.Z:z.2f} nats; of z + c: {now.Z_of_logits:z.2f}")
        self.title.set_text(tell(state, now))
        texts = [*(f"{z:.1f}" for z in state.z), f"{state.c:.0f}", f"{state.temperature:.3g}"]
        for i, (slider, text) in enumerate(zip(self.sliders, texts, strict=True)):
            slider.valtext.set_text(text)
            slider.poly.set_color(PINK if i == self.chosen else SKY)
            slider.label.set_fontweight("bold" if i == self.chosen else "normal")
        self.figure.canvas.draw_idle()

    def press(self, event):
        """Act on a key."""
        key, slider = (event.key or "").lower(), self.sliders[self.chosen]
        actions = {"r": self.reset, "s": self.save, "h": self.hint, "?": self.hint, "q": lambda: plt.close(self.figure)}
        if key in TURNS:
            slider.set_val(np.clip(slider.val + TURNS[key] * STEPS[self.chosen], *RANGES[self.chosen]))
        elif key in ("up", "down"):
            self.update(chosen=(self.chosen + (1 if key == "down" else -1)) % len(KNOBS))
        elif key in ("d", "f"):
            buttons = self.dtype if key == "d" else self.fed
            buttons.set_active((buttons.index_selected + 1) % len(buttons.labels))
        elif key in actions:
            actions[key]()

    def reset(self):
        """Set every knob back to its position at the start."""
        for slider in self.sliders:
            slider.reset()
        self.dtype.clear()
        self.fed.clear()
        self.footer.set_text(KEYS)
        self.update(chosen=KNOBS.index("offset c"))

    def hint(self):
        """Show the next thing to try at the bottom; after the last one, the keys."""
        shown = self.footer.get_text()
        self.say(FOOTERS[(FOOTERS.index(shown) + 1) % len(FOOTERS)] if shown in FOOTERS else KEYS)

    def save(self):
        """Write a picture to the first of explorer_1.png, explorer_2.png, ... that does not exist yet."""
        path = next(path for i in count(1) if not (path := Path(f"explorer_{i}.png")).exists())
        try:
            write(self.figure, path, "png")
            self.say(f"picture: {path}")
        except OSError as error:
            self.say(f"cannot write {path}: {error.strerror}")

    def say(self, text):
        """Show a text at the bottom."""
        self.footer.set_text(text)
        self.figure.canvas.draw_idle()

    def show(self, state):
        """Turn all knobs to a state."""
        values = [*state.z, state.c, np.log10(state.temperature)]
        for slider, value in zip(self.sliders, values, strict=True):
            slider.set_val(value)
        self.dtype.set_active(DTYPES.index(state.dtype))
        self.fed.set_active(list(FED).index(state.fed))
        turned = [i for i, value in enumerate(values) if value != START[i]]
        self.update(chosen=turned[-1] if turned else KNOBS.index("offset c"))


def write(figure, path, kind):
    """Write a picture; if that fails, an existing file stays as it was."""
    write_whole(path, lambda file: figure.savefig(file, format=kind))


# %% [markdown]
# ## Settings: `--set T=2 --set c=5`, or a list of them in a notebook

# %%

SHORT = dict(zip(("logits", "log-probs", "probs", "log(probs)"), FED, strict=True))
LIMITS = {**dict.fromkeys(TOKENS, (-20, 20)), "c": (-1000, 1000), "T": (0.05, 20)}
CHOICES = {"dtype": DTYPES, "fed": list(SHORT)}


def state_of(settings):
    """Return the state for settings such as "T=2" and "fed=log-probs".

    Errors: ValueError in one line.
    """
    z, others = dict(zip(TOKENS, State().z, strict=True)), {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in LIMITS.keys() | CHOICES.keys():
            raise ValueError(f"{setting!r} is not a setting; settings are {', '.join([*LIMITS, *CHOICES])}, as in T=2")
        if name in CHOICES:
            if value not in CHOICES[name]:
                raise ValueError(
                    f"{name} must be {', '.join(CHOICES[name][:-1])} or {CHOICES[name][-1]}, not {value!r}"
                )
            others[name] = SHORT.get(value, value)
            continue
        low, high = LIMITS[name]
        try:
            x = float(value)
        except ValueError:
            x = np.nan
        if not low <= x <= high:
            raise ValueError(f"{name} must be a number from {low} to {high}, not {value!r}")
        if name in z:
            z[name] = round(x, 1)
        else:
            others[{"c": "c", "T": "temperature"}[name]] = float(round(x)) if name == "c" else float(f"{x:.3g}")
    return State(tuple(z.values()), **others)


STORY = [["c=0"], ["c=10"], ["T=2"], ["fed=log-probs", "T=2"], ["fed=probs", "T=2"]]
STORY += [["dtype=float16", "E=-20", "T=20", f"fed={fed}"] for fed in ("log(probs)", "log-probs")]


def pictures(list_of_settings):
    """Show one picture in the notebook for each list of settings."""
    import io

    from IPython.display import Image, Markdown, display

    explorer = Explorer()
    for settings in list_of_settings:
        explorer.show(state_of(settings))
        picture = io.BytesIO()
        explorer.figure.savefig(picture, format="png")
        display(Markdown(f"**{', '.join(settings)}**"), Image(picture.getvalue(), alt=explorer.title.get_text()))
    plt.close(explorer.figure)


def in_the_notebook():
    """Show the explorer in a notebook: with working controls if ipympl is installed, otherwise as pictures."""
    try:
        import ipympl  # noqa: F401
    except ImportError:
        matplotlib.use("Agg")
        print("Controls need ipympl (python -m pip install ipympl). Without it, pictures(...) shows any settings:")
        pictures(STORY)
        return None
    plt.switch_backend("module://ipympl.backend_nbagg")
    explorer = Explorer()
    print("\n".join(f"Try: {hint}" for hint in TRY))
    plt.show()
    return explorer


def main():
    """Open the window, or save a picture of it, with the default or other settings."""
    parser = Parser(description="What moves when you turn a knob: the scores, the probabilities, or nothing at all?")
    parser.add_argument("--save", type=Path, metavar="FILE.png", help="save a picture instead of opening a window")
    text = f"start with a knob turned (repeat for more): {', '.join([*LIMITS, *CHOICES])}"
    parser.add_argument("--set", action="append", default=[], metavar="T=2", help=text)
    options = parser.parse_args()
    try:
        state = state_of(options.set)
    except ValueError as error:
        parser.error(f"argument --set: {error}")
    path = options.save
    no_window = "no window can be opened (no display, or neither Tk nor Qt); try --save FILE.png"
    try:
        if path:
            matplotlib.use("Agg")
            explorer = Explorer()
            explorer.show(state)
            write(explorer.figure, path, path.suffix[1:] or "png")
        elif plt.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
            sys.exit(complain(no_window, parser.prog))
        else:
            Explorer().show(state)
            plt.show()
    except ImportError:  # the chosen toolkit is missing, or finds no display
        sys.exit(complain(no_window, parser.prog))
    except (OSError, ValueError) as error:  # no such folder or format
        sys.exit(complain(f"cannot write {path}: {getattr(error, 'strerror', None) or error}", parser.prog))


# %%
explorer = None
if in_a_notebook():
    explorer = in_the_notebook()
elif __name__ == "__main__":
    main()
