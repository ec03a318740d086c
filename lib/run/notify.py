"""Telling people how a run ended: by a webhook, an e-mail or a command, as `notify` in `pipeline.yml` says.

A hook that fails is noted in the manifest and changes nothing else: the run ends as what it is.
"""

import json
import os
import smtplib
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from lib.base.secrets import mask
from lib.config import Hook, Mail
from lib.report import pages
from lib.run.checkpoints import is_of
from lib.run.manifest import Run, list_runs
from lib.settings import Settings

_TIMEOUT = 10  # seconds that one hook may take; the run waits for it
_GOOD, _BAD = ("published", "not_published"), ("failed", "refused", "killed")


def after(run: Run, settings: Settings) -> None:
    """Tell of a run that has closed whoever wants to know; whatever goes wrong here is noted, and no more."""
    try:
        hooks = [hook for hook in settings.config.notify.hooks if hook.is_on]
        events = list(_events(run, settings)) if hooks else []
        if not events:
            return
        noted = run.manifest.setdefault("notified", [])
        for hook in hooks:
            for event in (e for e in events if e in hook.events):
                note: dict[str, Any] = {"event": event, "by": hook.kind, "error": None}
                noted.append(note)
                try:
                    _tell(hook, message(run.manifest, event, settings))
                except Exception as error:
                    note["error"] = mask(f"{type(error).__name__}: {error}")
        run.save()
    except BaseException:
        # Also a signal: the run is over and written down, and must not become one that was stopped.
        return


def message(manifest: Mapping[str, Any], event: str, settings: Settings) -> dict[str, Any]:
    """Return what is told: the event, a sentence, stage, cell and error where there is one, and where to read on."""
    stage: Mapping[str, Any] = next((s for s in manifest.get("stages") or [] if s.get("error")), {})
    error = stage.get("error") or {}
    at_fault = stage.get("name") or ("05_quality" if manifest["state"] == "refused" else None)
    folder = settings.output_dir / "runs" / manifest["run_id"]
    page = "index.html"
    if at_fault and (folder / "reports" / f"{at_fault}.html").exists():
        page = f"reports/{at_fault}.html"
    base = settings.config.notify.link.rstrip("/")
    told = {
        "event": event,
        "run_id": manifest["run_id"],
        "shop": (manifest.get("shop") or {}).get("name"),
        "title": f"{(manifest.get('shop') or {}).get('name')}: {_SENTENCES[event]}{pages.run_title(manifest)}",
        "stage": at_fault,
        "cell": error.get("cell"),
        "error": f"{error.get('type')}: {error.get('message')}" if error else manifest.get("reason"),
        "link": f"{base}/runs/{manifest['run_id']}/{page}" if base else (folder / page).as_uri(),
    }
    cleaned: dict[str, Any] = json.loads(mask(json.dumps(told, default=str)))
    return cleaned


_SENTENCES = {"failed": "", "refused": "", "published": "", "recovered": "Recovered. ", "late": "Late. "}


def _events(run: Run, settings: Settings) -> Iterator[str]:
    values = run.manifest
    if values["state"] in ("failed", "refused", "published"):
        yield values["state"]
    if values["state"] in _GOOD and _was_bad(run, settings):
        yield "recovered"
    limit = settings.config.notify.late_after_minutes
    if limit and values["state"] != "waiting" and (values.get("seconds") or 0) > limit * 60:
        yield "late"


def _was_bad(run: Run, settings: Settings) -> bool:
    """Whether the run before on the same data, or this one before it was resumed, ended badly."""
    earlier = [n["event"] for n in run.manifest.get("notified") or [] if n["event"] != "late"]
    if earlier:
        return earlier[-1] in _BAD
    ended = (
        m["state"]
        for m in list_runs(settings.output_dir)
        if m["run_id"] != run.run_id and is_of(m, settings) and m["state"] in _GOOD + _BAD
    )
    return next(ended, None) in _BAD


def _tell(hook: Hook, told: Mapping[str, Any]) -> None:
    if hook.webhook:
        _post(hook.webhook, _for_slack(told))
    elif hook.email:
        _mail(hook.email, told)
    else:
        named = {f"SHOP_RUN_{name.upper()}": "" if v is None else str(v) for name, v in told.items()}
        subprocess.run(
            list(hook.command),
            input=json.dumps(told),
            text=True,
            env=os.environ | named,
            timeout=_TIMEOUT,
            check=True,
            capture_output=True,
        )


def _post(url: str, body: Mapping[str, Any]) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        answer.read()


def _for_slack(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of Slack's incoming webhooks, which Mattermost and others read too."""

    def plain(value: Any) -> str:
        return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    parts = [f"*{plain(told['title'])}*", *(f"{name}: {plain(value)[:1500]}" for name, value in _details(told))]
    link = told["link"]
    parts.append(f"<{link}|Open the report>" if link.startswith("http") else plain(link))
    text = "\n".join(parts)
    return {"text": text, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}}]}


def _details(told: Mapping[str, Any]) -> list[tuple[str, Any]]:
    names = (("Run", "run_id"), ("Stage", "stage"), ("Cell", "cell"), ("Error", "error"))
    return [(label, told[key]) for label, key in names if told[key] is not None]


def _mail(mail: Mail, told: Mapping[str, Any]) -> None:
    letter = EmailMessage()
    letter["Subject"] = " ".join(str(told["title"]).split())[:200]
    letter["From"], letter["To"] = mail.sender, ", ".join(mail.to)
    letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain=mail.sender.rpartition("@")[2])
    letter.set_content("\n".join([*(f"{n}: {v}" for n, v in _details(told)), "", str(told["link"]), ""]))
    opened: type[smtplib.SMTP] = smtplib.SMTP_SSL if mail.security == "tls" else smtplib.SMTP
    with opened(mail.host, mail.port, timeout=_TIMEOUT) as server:
        if mail.security == "starttls":
            server.starttls()
        if mail.user:
            server.login(mail.user, mail.password)
        server.send_message(letter)
