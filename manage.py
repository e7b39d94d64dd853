#!/usr/bin/env python
"""The desk's commands: `manage.py help` lists them."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["kill"]:  # nothing is loaded that a kill does not need
        from pathlib import Path

        from trading.run.panic import shell

        sys.exit(shell.main(sys.argv[2:], Path(os.environ.get("DESK_VAR", Path(__file__).resolve().parent / "var"))))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
    from desk.jitcache import set_jit_cache

    set_jit_cache()
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"settings: {error}")


if __name__ == "__main__":
    main()
