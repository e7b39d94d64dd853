"""What names the code of a strategy in results and studies: its file, and what it imports from the same folder.

Files are read, not run, so an import inside a function counts too.  Folders beside it and what is installed are not
looked into: whoever changes those names another folder for a study.  Called by `signals`.
"""

import ast
import hashlib
from pathlib import Path


def code_hash(source: str | None) -> str:
    """sha256, hex, over a strategy's file and the files beside it that it imports, directly or through them.

    One file alone is hashed as it is.  None, of what is not written in Python: the hash of nothing.
    """
    if source is None:
        return hashlib.sha256().hexdigest()
    first = Path(source)
    files: dict[str, bytes] = {}
    waiting = [first]
    while waiting:
        path = waiting.pop()
        if path.name not in files:
            files[path.name] = path.read_bytes()
            beside = (first.with_name(f"{name}.py") for name in _imports(files[path.name]))
            waiting += [other for other in beside if other.is_file()]
    own = files.pop(first.name)
    digest = hashlib.sha256(own)
    for name in sorted(files):
        digest.update(name.encode() + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()


def _imports(code: bytes) -> set[str]:
    """Every single name in the imports of a file, wherever they stand in it."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except (SyntaxError, ValueError):
        return set()  # it is imported by nobody yet, or will be refused then
    found = {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    found |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {part for name in found for part in name.split(".")}
