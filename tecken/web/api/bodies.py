from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser


class ObjectParser(Parser):
    """Parser of bodies that are JSON objects, as those of all our operations are.

    From a text or a list django-ninja would read no field at all, and continue with the defaults of each.
    """

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """Return the body. Raises TypeError or ValueError, from which django-ninja makes a 400."""
        body: object = super().parse_body(request)
        if not isinstance(body, dict):
            raise TypeError("must be a JSON object")
        return body
