"""The way to a timestamp service: one HTTP request (RFC 3161, 3.4), bounded in time and size."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request

from signing import sign_timestamp
from winpe.errors import DownloadError, MediaUsageError

_TIMEOUT = 30  # seconds without a byte


def post(url: str, request: bytes) -> bytes:
    """Raises MediaUsageError for what is no address, DownloadError for no answer."""
    try:
        known = urllib.parse.urlsplit(url).scheme in ("http", "https")
    except ValueError:
        known = False
    if not known:
        raise MediaUsageError(f"{url} is not the address of a timestamp service (http or https)")
    headers = {"Content-Type": sign_timestamp.REQUEST_TYPE}
    asked = urllib.request.Request(url, data=request, headers=headers)  # noqa: S310 - asked above
    try:
        with urllib.request.urlopen(asked, timeout=_TIMEOUT) as answer:  # noqa: S310
            content: bytes = answer.read(sign_timestamp.LARGEST_RESPONSE + 1)
    except urllib.error.HTTPError as exc:
        raise DownloadError(f"the timestamp service {url} answered {exc.code}") from exc
    except (OSError, ValueError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        raise DownloadError(f"the timestamp service {url} cannot be reached: {reason}") from exc
    return content
