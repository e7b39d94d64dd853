"""The paper venue's switch for what a real broker does by itself: it refuses the desk's token, until it takes it again.

A file beside the account.  `manage.py venue --refuse-token` turns it; the venue asks before every call of the execution
role.  The guard's session has a token of its own, and so has the feed's.
"""

from pathlib import Path


def _switch(folder: Path, account: str) -> Path:
    return folder / f"{account}.token-refused"


def is_refused(folder: Path, account: str) -> bool:
    """Whether the venue in this folder refuses the token of an account's execution."""
    return _switch(folder, account).exists()


def refuse(folder: Path, account: str, refused: bool) -> None:
    """From now on it does, or does no longer."""
    if refused:
        _switch(folder, account).touch(mode=0o600)
    else:
        _switch(folder, account).unlink(missing_ok=True)
