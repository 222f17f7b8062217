"""The command itself, as a process: what it says, mistakes in one line, and SIGTERM with requests in flight."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

import forked
from translora.errors import ConfigError
from translora.serve.server import Address, bind

TEXTS = [f"Wo ist der Bahnhof {number}, und wie komme ich heute dorthin?" for number in range(8)]


@contextmanager
def process(*arguments):
    """`translora serve` with any free port; gives the process and its address."""
    running = forked.start("serve", *arguments, "--port", "0")
    try:
        while not (found := re.search(r"serving (.*) at (http://\S+)\n", running.errors)):
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        yield running, found[2]
    finally:
        running.kill()


def run(*arguments, code=""):
    """The exit code and the standard error of `translora serve`."""
    script = f"{code}\nfrom translora.cli import main\nmain({['serve', *map(str, arguments)]!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.slow
def test_sigterm_drops_no_request_that_is_in_flight(tiny_model, adapters):
    """New connections are refused meanwhile, and the process exits with 0."""
    count = 16
    with process("mini", adapters / "a0", "--no-access-log") as (running, url), ThreadPoolExecutor(count) as pool:
        asked = {"texts": TEXTS, "adapter": "mini", "beams": 2}
        answers = [pool.submit(httpx.post, f"{url}/v1/translate", json=asked, timeout=120) for _ in range(count)]
        while sum(seen_requests(url)) < count:
            assert running.poll() is None
        running.send_signal(signal.SIGTERM)
        found = [answer.result() for answer in answers]
        _, said = running.communicate()
        assert running.returncode == 0
    assert [one.status_code for one in found] == [200] * count
    assert len({one.text for one in found}) == 1
    assert "Traceback" not in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def seen_requests(url):
    """How many translating requests are being answered, and how many were."""
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    for line in lines:
        if line.startswith("translora_requests_under_way "):
            yield float(line.split()[1]) - 1  # this one
        if line.startswith('translora_requests_total{route="/v1/translate"'):
            yield float(line.split()[1])


@pytest.mark.slow
def test_kill_9_of_one_process_leaves_the_others(tiny_model, adapters):
    """Several processes share nothing: behind a balancer, the next one answers."""
    options = adapters / "a0", "--no-access-log"
    with process(*options) as (first, first_url), process(*options) as (_, second_url):
        asked = {"texts": TEXTS, "adapter": "a0"}
        expected = httpx.post(f"{second_url}/v1/translate", json=asked, timeout=120).json()
        with ThreadPoolExecutor(4) as pool:
            many = {**asked, "texts": TEXTS * 20}
            doomed = [pool.submit(httpx.post, f"{first_url}/v1/translate", json=many, timeout=120) for _ in range(2)]
            while sum(seen_requests(first_url)) < len(doomed):
                assert first.poll() is None
            others = [pool.submit(httpx.post, f"{second_url}/v1/translate", json=asked, timeout=120) for _ in range(2)]
            first.kill()
            assert first.wait() == -signal.SIGKILL
            assert [one.result().json() for one in others] == [expected] * 2
            assert any(isinstance(one.exception(), httpx.TransportError) for one in doomed)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{first_url}/health")
        assert httpx.get(f"{second_url}/health").json() == {"status": "ok"}
        assert httpx.post(f"{second_url}/v1/translate", json=asked, timeout=120).json() == expected


@pytest.mark.slow
def test_ctrl_c_ends_it_too_and_keys_are_in_no_log(adapters, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n")  # of "secret"
    with process(adapters / "a0", "--api-keys", keys) as (running, url):
        pair = {"q": "Ja", "source": "de", "target": "en"}
        assert httpx.post(f"{url}/translate", params={"api_key": "secret"}, data=pair).status_code == 200
        assert httpx.post(f"{url}/translate", data={**pair, "api_key": "wr0ng"}).status_code == 403
        running.send_signal(signal.SIGINT)
        _, said = running.communicate()
        assert running.returncode == 0
    assert '"path": "/translate", "status": 200' in said
    assert '"status": 403' in said
    assert "secret" not in said
    assert "wr0ng" not in said
    assert "Ja" not in said


def test_without_the_extra_one_line_says_how_to_install_it():
    code, said = run("mini", code="import sys; sys.modules['uvicorn'] = sys.modules['fastapi'] = None")
    assert code == 2
    assert said == 'translora: fastapi, uvicorn are not installed: pip install "translora[serve]"\n'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mini", "--port", "70000"], "--port 70000: use 0 to 65535"),
        (["mini", "--beams", "11"], "--beams 11: use 1 to 10"),
        (["mini", "--max-chars", "0"], "--max-chars 0: must be more than 0"),
        (["mini", "--queue-seconds", "-1"], "--queue-seconds -1.0: must not be negative"),
        (["mini", "--api-keys", "none"], "none: the API keys cannot be read"),
        (["mini", "--adapters-root", "none"], "--adapters-root none: no such folder"),
        (["mini", "--host", "no.such.host.invalid", "--port", "0"], "--host no.such.host.invalid: no address"),
        (["./nothing", "--port", "0"], "./nothing: no such model folder"),
        (["mini", "mini", "--port", "0"], "two models are named mini"),
        (["--port", "0"], "RUN"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    from translora.cli import main

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    said = capsys.readouterr().err
    assert ended.value.code in (1, 2)
    assert message in said
    assert said.count("\n") == 1


def test_a_port_in_use_is_one_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"port {port} on 127.0.0.1: {os.strerror(errno.EADDRINUSE)}: choose another"
        ):
            bind(Address(port=port))
