"""Stand-ins for packages that draw, show and wait: they do nothing, so a plot in a homework costs nothing.

In: `import matplotlib.pyplot as plt`, on the far side of the wall. Out: a module whose every part can be used, called
and drawn on, without effect.
"""

import importlib.abc
import importlib.machinery
import opcode
import sys
import types
from collections.abc import Iterator, Sequence
from typing import Any

STAND_INS = frozenset({
    "matplotlib", "mpl_toolkits", "pylab", "seaborn", "plotly", "bokeh", "altair", "graphviz", "networkx", "PIL", "cv2",
    "imageio", "pandas", "polars", "statsmodels", "sympy", "numba", "joblib", "torchvision", "datasets", "tabulate",
    "rich", "termcolor", "colorama", "tqdm", "IPython", "ipywidgets", "ipykernel", "jupyter", "nbformat", "google",
    "pytest", "hypothesis", "nose", "otter", "black", "ruff", "mypy", "typing_extensions", "requests", "yaml", "dotenv",
    "psutil", "wandb", "tensorboard", "line_profiler", "memory_profiler",
})  # fmt: skip
UNPACK = opcode.opmap["UNPACK_SEQUENCE"]


class StandIn:
    """Part of a package that is not available: whatever is done with it, nothing happens."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __repr__(self) -> str:
        """Say what it stands for, and that it computes nothing."""
        return f"of {self._name}, which is not available here and computes nothing: use NumPy"

    def __getattr__(self, name: str) -> Any:
        """Return this stand-in; names that Python itself looks up, such as `__array__`, are missing."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Ignore the value."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function it decorates, or what tqdm iterates over; otherwise this stand-in."""
        around = len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type)
        return args[0] if around or (args and self._name == "tqdm") else self

    def __iter__(self) -> Iterator[Any]:
        """Yield as many as are unpacked, as in `fig, ax = plt.subplots()`; yield none to a loop."""
        caller = sys._getframe(1)
        code, place = caller.f_code.co_code, caller.f_lasti
        return iter([self] * (code[place + 1] if code[place] == UNPACK else 0))

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """Let a class derive from it, as if from nothing."""
        return ()

    def _same(self, *args: Any) -> Any:
        return self

    __enter__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _same
    __rtruediv__ = __pow__ = __neg__ = __matmul__ = __or__ = __and__ = __lt__ = __gt__ = __le__ = __ge__ = _same

    def __exit__(self, *how: object) -> None:
        """End a `with`."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore the value."""

    def __len__(self) -> int:
        """Return 0: it contains nothing."""
        return 0


class Module(types.ModuleType):
    """A module of such a package."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Return a stand-in for part of the module."""
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(self.__name__.partition(".")[0])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what a stand-in would, although modules should not be called."""
        return StandIn(self.__name__.partition(".")[0])(*args, **kwargs)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a stand-in for every module of these packages."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where a module comes from: from here."""
        if name.partition(".")[0] not in STAND_INS:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return a stand-in."""
        return Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: the module is empty."""


def classroom() -> types.ModuleType:
    """Return a stand-in for `scratchlm.classroom`, whose `check` students leave in their notebooks."""
    module = types.ModuleType("scratchlm.classroom")
    module.check = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    return module
