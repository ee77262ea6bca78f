"""What stands in for packages that draw, show and wait, so that a plot in a homework costs nothing: it does nothing.

In: `import matplotlib.pyplot as plt`, on the far side of the wall. Out: a module any part of which can be had, called
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
    """Something of a package that is not here: whatever is done with it, nothing happens."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __repr__(self) -> str:
        """Say what it stands for, and that it computes nothing."""
        return f"of {self._name}, which is not here and computes nothing: use NumPy"

    def __getattr__(self, name: str) -> Any:
        """Return another one; what Python itself asks for, `__array__` say, is not there."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Forget what is set."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what it is called around: a function, if it decorates one; what tqdm counts; else another one."""
        around = len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type)
        return args[0] if around or (args and self._name == "tqdm") else self

    def __iter__(self) -> Iterator[Any]:
        """Give as many as are asked for, in `fig, ax = plt.subplots()`; to a loop, none."""
        caller = sys._getframe(1)
        code, place = caller.f_code.co_code, caller.f_lasti
        return iter([self] * (code[place + 1] if code[place] == UNPACK else 0))

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """Let a class be derived from it, as from nothing."""
        return ()

    def _same(self, *args: Any) -> Any:
        return self

    __enter__ = __getitem__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _same
    __rtruediv__ = __pow__ = __neg__ = __matmul__ = __or__ = __and__ = __lt__ = __gt__ = __le__ = __ge__ = _same

    def __exit__(self, *how: object) -> None:
        """End a `with`."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Forget what is set."""

    def __len__(self) -> int:
        """Return 0: it holds nothing."""
        return 0


class Module(types.ModuleType):
    """A module of such a package."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        """Return something of it."""
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(self.__name__.partition(".")[0])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Be called, as nobody should."""
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
        """Do nothing: there is nothing in it."""


def classroom() -> types.ModuleType:
    """Return what stands in for `scratchlm.classroom`, whose `check` students leave in their notebooks."""
    module = types.ModuleType("scratchlm.classroom")
    module.check = lambda *args, **kwargs: None  # type: ignore[attr-defined]
    return module
