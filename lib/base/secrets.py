"""Secrets: what is kept out of everything that is written."""

import re

_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]+):[^/\s@]+@")


_secrets: set[str] = set()


def mask(text: str) -> str:
    """Return the text without passwords in URLs and without the values of secret variables."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return _URL_PASSWORD.sub(r"\1:***@", text)


def keep_secret(text: str) -> None:
    """Let `mask` remove a text from everything that is written from now on."""
    if len(text) >= 4:
        _secrets.add(text)
