"""`manage.py document_features`: writes docs/features.md from the feature schema."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketdata.core.barfeatures.document import as_markdown


class Command(BaseCommand):
    help = "Write docs/features.md, the table of the bar features, from their schema."

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "features.md"
        path.write_text(as_markdown(), encoding="utf-8")
        self.stdout.write(f"wrote {path}")
