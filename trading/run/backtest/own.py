"""Code of somebody's own, by the place of its file: a strategy or a policy that lies in a folder.

The folder is never first on the path of imports, so that no file there stands in the way of the library or the desk; it
is last, for files that a strategy imports from beside it.  Called by `signals` and by `tapes.scores`.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PREFIX = "_own_"  # of the names under which files of a folder are known: none of them is anything else's


def module_of(name: str, folder: Path) -> ModuleType:
    """`name`.py of the folder, run anew; where there is none, what is installed under this name.

    Raises ImportError, and whatever the module raises.
    """
    path = folder / f"{name}.py"
    if not name.isidentifier() or not path.is_file():
        return importlib.import_module(name)
    if (place := str(folder)) not in sys.path:
        sys.path.append(place)
    spec = importlib.util.spec_from_file_location(f"{PREFIX}{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # before it runs: its classes ask for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
