"""Documents through LibreTranslate's `/translate_file`."""

import io
import zipfile

import pytest
from servers import LINES, serving

from translora.serve.files import MOST_BYTES, SECONDS, Files

PAIR = {"source": "de", "target": "en"}


@pytest.fixture(scope="module")
def run_server(run_folder):
    """A server of a run alone."""
    with serving([run_folder]) as server:
        yield server


def upload(server, name, data, **fields):
    return server.post("/translate_file", files={"file": (name, data)}, data={**PAIR, **fields})


def downloaded(server, answer):
    assert answer.status_code == 200, answer.text
    found = server.client.get(answer.json()["translatedFileUrl"])
    assert found.headers["content-disposition"].startswith("attachment")
    return found.content


def test_a_page_comes_back_with_its_texts_translated(mini_server, expected):
    page = f"<html><!-- x -->\r\n<body class=a><p>{LINES[0]}</p><script>var a = 1 < 2;</script></body></html>"
    answer = upload(mini_server, "../../page.HTML", page.encode())
    assert answer.json()["translatedFileUrl"].endswith(".html")
    assert downloaded(mini_server, answer).decode() == page.replace(LINES[0], expected[0])


def test_a_text_file_and_strings_of_a_program(mini_server, expected):
    answer = upload(mini_server, "a.txt", f"{LINES[0]}\n\n{LINES[1]}\n".encode())
    assert downloaded(mini_server, answer).decode() == f"{expected[0]}\n\n{expected[1]}\n"
    po = f'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\nmsgid "{LINES[0]}"\nmsgstr ""\n'
    found = downloaded(mini_server, upload(mini_server, "a.po", po.encode())).decode()
    assert f'msgstr "{expected[0]}"' in found


def test_a_document_of_an_office_program(mini_server, expected):
    body = f"<w:body><w:p><w:r><w:t>{LINES[0]}</w:t></w:r></w:p></w:body>"
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{space}">{body}</w:document>')
    found = downloaded(mini_server, upload(mini_server, "a.docx", packed.getvalue()))
    assert expected[0] in zipfile.ZipFile(io.BytesIO(found)).read("word/document.xml").decode()


@pytest.mark.parametrize(
    ("name", "data", "fields", "said"),
    [
        ("a.exe", b"x", {}, "the format of .exe is not supported"),
        ("a", b"x", {}, "the format of files without an ending is not supported"),
        ("a.docx", b"no archive", {}, "the document"),
        ("a.json", b"{", {}, "the document"),
        ("/etc/hosts.xml", b"<a/>", {}, "the format of .xml is not supported"),
        ("a.html", b"<p>a", {"source": "auto"}, "needs a source language"),
        ("a.html", b"<p>a", {"target": "zz"}, "zz is not supported"),
        ("a.html", b"<p>a", {"target": ""}, "missing target parameter"),
    ],
)
def test_what_cannot_be_translated_is_refused_in_one_line(mini_server, name, data, fields, said):
    answer = upload(mini_server, name, data, **fields)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_no_file_and_no_such_translation(mini_server):
    answer = mini_server.post("/translate_file", data=PAIR)
    assert (answer.status_code, answer.json()) == (400, {"error": "Invalid request: missing file parameter"})
    for name in ("x", "..%2f..%2fetc%2fpasswd", ""):
        assert mini_server.client.get(f"{mini_server.url}/download_file/{name}").status_code == 404


PAYLOADS = [
    "..", "../..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fconfig.yaml", "..%5c..%5cx", "/etc/passwd",
    "%2fetc%2fpasswd", "//etc/passwd", "config.yaml", "report.html", "adapter/adapter_config.json", "law",
    "law/report.html",
    ".", "./.", "~root", "%00", "x%00.html", "%ff%fe", "file:%2f%2f%2fetc%2fpasswd", "C:%5c", "%5c%5chost%5cshare",
    "%252e%252e%252f", "..;/", "x" * 5000, "%0d%0aset-cookie:a=b", "%F0%9F%94%91", "*", "?", "reports", "None", "-",
]  # fmt: skip


@pytest.mark.parametrize("place", ["download_file", "reports"])
def test_no_path_leads_to_another_file(run_server, place):
    for payload in PAYLOADS:
        answer = run_server.client.get(f"{run_server.url}/{place}/{payload}", follow_redirects=True)
        assert answer.status_code == 404 or answer.url.path == "/", payload  # `..` is resolved by the client
        assert "root:" not in answer.text
        assert "lora_alpha" not in answer.text
        assert "set-cookie" not in answer.headers


def test_a_report_is_locked_and_only_the_file_of_the_run_is_served(run_server):
    (model,) = run_server.get("/v1/models").json()["models"]
    address = f"/{model['report']}"
    report = run_server.service.models.get("law").report
    answer = run_server.get(address)
    assert answer.content == report.read_bytes()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    for ticket in (address[:-1], address + "x", address.swapcase()):
        assert run_server.get(ticket).status_code == 404
    kept = report.read_bytes()
    report.unlink()
    assert run_server.get(address).status_code == 404
    report.symlink_to(report.parent / "config.yaml")
    assert run_server.get(address).status_code == 404
    report.unlink()
    report.mkdir()
    assert run_server.get(address).status_code == 404
    report.rmdir()
    report.write_bytes(kept)
    assert run_server.get(address).status_code == 200


def test_translations_are_kept_for_a_while():
    now = [0.0]
    files = Files(lambda: now[0])
    first = files.keep(b"a", ".html")
    assert files.get(first) == b"a"
    now[0] = SECONDS + 1
    assert files.get(first) is None
    large = [files.keep(bytes(MOST_BYTES // 2), "./x") for _ in range(3)]
    assert [files.get(name) is None for name in large] == [True, False, False]
    assert not any("/" in name for name in large)
