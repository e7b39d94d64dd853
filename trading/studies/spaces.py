"""The spaces that are shipped by name, and spaces in files of one's own (MES-OPT-01).

A shipped space is a file like everybody's, in `named/`: what its parameters are called is the profile's business, and
the profile checks every value before the first trial.  Called by `opening`.
"""

from pathlib import Path

import yaml

from trading.research.records import ResearchError

FOLDER = Path(__file__).parent / "named"


def shipped_spaces() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def space_file(word: str | Path) -> dict[str, object]:
    """Path → values, of a shipped space or of a file.  Raises ResearchError, OSError."""
    path = FOLDER / f"{word}.yaml" if str(word) in shipped_spaces() else Path(word)
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise ResearchError(f"--space {word} is no file and none of {', '.join(shipped_spaces())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ResearchError(f"{path}{where}: not readable as YAML") from None
    if not isinstance(values, dict) or set(values) != {"parameters"} or not isinstance(values["parameters"], dict):
        raise ResearchError(f"{path} must hold the one key parameters, and PATH: VALUES below it")
    return dict(values["parameters"])
