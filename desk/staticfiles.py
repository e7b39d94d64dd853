"""Static files with hashed names; imports between ES modules are rewritten to the hashed names too.

Our own files are served without the comments that stand on lines of their own: they are for who reads the source, and
a tenth of what a page would load.  Nothing else of a file is changed.
"""

import re
from typing import Any

from django.core.files.base import ContentFile
from whitenoise.storage import CompressedManifestStaticFilesStorage

OWN = re.compile(r"(desk|config)/.+\.(js|css)")
_COMMENT = re.compile(rb"^[ \t]*/\*.*?\*/[ \t]*\n?", re.S | re.M)


class HashedStorage(CompressedManifestStaticFilesStorage):
    support_js_module_import_aggregation = True

    def _save(self, name: str, content: Any) -> str:
        """Collecting a file; the hashed copies are made from what is stored here."""
        if OWN.fullmatch(name.replace("\\", "/")):
            content = ContentFile(_COMMENT.sub(b"", b"".join(content.chunks())))
        saved: str = super()._save(name, content)
        return saved
