"""Hooks, against a real HTTP and a real SMTP server on loopback."""

import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from pydantic import ValidationError

from lib.base.secrets import keep_secret
from lib.config import Hook, Notify
from lib.run import notify
from lib.run.manifest import Run
from lib.settings import CONFIG_FILE, load_settings


@pytest.fixture
def http():
    """Yield an address and what was posted there; below /broken each request is refused."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


@pytest.fixture
def smtp():
    """Yield the port of an SMTP server and the letters it was given."""
    got = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 here\r\n")
            lines = None
            for line in self.rfile:
                if lines is not None:
                    if line == b".\r\n":
                        got.append(b"".join(lines).decode())
                        lines = None
                        self.wfile.write(b"250 taken\r\n")
                    else:
                        lines.append(line)
                elif line.upper().startswith(b"DATA"):
                    lines = []
                    self.wfile.write(b"354 go on\r\n")
                elif line.upper().startswith(b"QUIT"):
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], got
    server.shutdown()
    server.server_close()


@pytest.fixture
def ended(tmp_path):
    """Return a function that ends a run in a state and tells of it."""

    def end(hooks, state="failed", run_id="20260102T020000Z", error="no <table>", seconds=5.0, **keys):
        values = yaml.safe_load(CONFIG_FILE.read_text()) | {"notify": {"hooks": hooks, **keys}}
        path = tmp_path / "pipeline.yml"
        path.write_text(yaml.safe_dump(values))
        settings = load_settings(config_file=path, data_dir=tmp_path / "d", output_dir=tmp_path / "o")
        stage = {"name": "04_model", "state": "ok", "error": None}
        if state == "failed":
            stage |= {"state": "failed", "error": {"type": "WarehouseError", "message": error, "cell": 3}}
        folder = settings.output_dir / "runs" / run_id
        (folder / "reports").mkdir(parents=True, exist_ok=True)
        for name in ("04_model", "05_quality"):
            (folder / "reports" / f"{name}.html").write_text("x")
        values = {"run_id": run_id, "state": state, "reason": None, "started_at": run_id, "seconds": seconds}
        values |= {"shop": {"id": settings.shop_id, "name": "Shop"}, "data_dir": str(settings.data_dir)}
        if (folder / "run.json").exists():
            values["notified"] = json.loads((folder / "run.json").read_text()).get("notified", [])
        run = Run(folder, values | {"target": settings.config.warehouse.target, "stages": [stage]})
        run.save()
        notify.after(run, settings)
        return json.loads((folder / "run.json").read_text())

    return end


def test_a_webhook_gets_slacks_json_with_stage_cell_error_and_a_link_to_the_failure(http, ended):
    url, got = http
    manifest = ended([{"events": ["failed"], "webhook": url}], link="https://reports.example.com/")
    text = got[0]["text"]
    assert len(got) == 1 and got[0]["blocks"][0]["text"] == {"type": "mrkdwn", "text": text}
    assert "*Shop: Failed in 04_model*" in text and "Cell: 3" in text and "WarehouseError: no &lt;table&gt;" in text
    assert "<https://reports.example.com/runs/20260102T020000Z/reports/04_model.html|Open the report>" in text
    assert manifest["notified"] == [{"event": "failed", "by": "webhook", "error": None}]


def test_an_email_says_the_same(smtp, ended):
    port, got = smtp
    mail = {"to": ["a@example.com"], "sender": "b@example.com", "host": "127.0.0.1", "port": port, "security": "none"}
    ended([{"events": ["failed"], "email": mail}])
    assert "Subject: Shop: Failed in 04_model" in got[0] and "To: a@example.com" in got[0]
    assert "Stage: 04_model" in got[0] and "Cell: 3" in got[0] and "file:///" in got[0].replace("=\r\n", "")


def test_a_command_gets_json_and_variables(tmp_path, ended):
    code = "import os,sys; open(sys.argv[1],'w').write(os.environ['SHOP_RUN_EVENT'] + sys.stdin.read())"
    ended([{"events": ["refused"], "command": [sys.executable, "-c", code, str(tmp_path / "got")]}], state="refused")
    text = (tmp_path / "got").read_text()
    told = json.loads(text.removeprefix("refused"))
    assert told["stage"] == "05_quality" and told["link"].endswith("/reports/05_quality.html")


def test_a_hook_that_fails_is_noted_and_the_others_are_told(http, ended):
    url, got = http
    broken = [{"command": ["/no/such/program"]}, {"command": [sys.executable, "-c", "raise SystemExit(3)"]}]
    broken += [{"webhook": f"{url}/broken"}, {"webhook": "http://127.0.0.1:9"}]
    manifest = ended([*broken, {"webhook": url}])
    errors = [note["error"] for note in manifest["notified"]]
    assert all(errors[:4]) and errors[4] is None and "500" in errors[2]
    assert manifest["state"] == "failed" and len(got) == 2


def test_recovered_is_told_once_after_a_failure(http, ended):
    url, got = http
    hooks = [{"events": ["recovered"], "webhook": url}]
    ended(hooks, "failed", "20260101T000000Z")
    ended(hooks, "published", "20260102T000000Z")
    ended(hooks, "published", "20260103T000000Z")
    assert len(got) == 1 and "Recovered. Published" in got[0]["text"] and "20260102T000000Z" in got[0]["text"]


def test_a_run_that_was_resumed_recovers(http, ended):
    url, got = http
    hooks = [{"events": ["failed", "recovered"], "webhook": url}]
    ended(hooks, "failed")
    ended(hooks, "published")
    assert ["Recovered" in body["text"] for body in got] == [False, True]


@pytest.mark.parametrize(("seconds", "limit", "told"), [(61, 1, 1), (59, 1, 0), (9999, 0, 0)])
def test_late_is_a_run_that_takes_longer_than_it_may(http, ended, seconds, limit, told):
    url, got = http
    ended([{"events": ["late"], "webhook": url}], "published", seconds=seconds, late_after_minutes=limit)
    assert len(got) == told


def test_no_secret_is_told(http, ended):
    url, got = http
    keep_secret("hunter2-hunter2")
    ended([{"webhook": url}], error="password hunter2-hunter2 refused")
    assert "hunter2" not in got[0]["text"] and "***" in got[0]["text"]


def test_a_webhook_without_an_address_is_off(ended):
    assert "notified" not in ended([{"webhook": ""}])


@pytest.mark.parametrize("hook", [{}, {"webhook": "x"}, {"webhook": "", "command": ["a"]}, {"events": ["lost"]}])
def test_a_hook_that_says_nothing_clear_is_refused(hook):
    with pytest.raises(ValidationError):
        Notify(hooks=(Hook.model_validate(hook),))


def test_the_projects_own_hook_is_on_where_the_environment_names_an_address(monkeypatch, tmp_path):
    assert [hook.is_on for hook in load_settings(data_dir=tmp_path).config.notify.hooks] == [False]
    monkeypatch.setenv("SHOP_WEBHOOK_URL", "https://hooks.example.com/T/secret")
    (hook,) = load_settings(data_dir=tmp_path).config.notify.hooks
    assert hook.is_on and hook.events == ("failed", "recovered", "refused")
