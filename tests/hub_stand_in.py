"""A hub of models and data sets on this machine, by the protocol that huggingface_hub and datasets speak."""

import hashlib
import json
import threading
import urllib.parse
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Serves the folders of `server.repositories`; holds back the second half of the file `server.stalled`.

    A repository's key is its path, such as `models/you/tiny`.
    """

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.server.asked.append(path)
        for key, folder in self.server.repositories.items():
            page = "/" + key.removeprefix("models/")
            files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.*"))
            if path.startswith(f"{page}/resolve/"):
                self._answer_file(folder, path.removeprefix(f"{page}/resolve/").partition("/")[2], body)
            elif path in (f"/api/{key}", f"/api/{key}/revision/main", f"/api/{key}/revision/{COMMIT}"):
                listed = [{"rfilename": file} for file in files]
                self._send_json({"id": key.partition("/")[2], "sha": COMMIT, "siblings": listed})
            elif path.startswith(f"/api/{key}/tree/"):
                inside = path.removeprefix(f"/api/{key}/tree/").partition("/")[2]
                self._send_json([self._entry(folder, file) for file in files if file.startswith(inside)])
            elif path.startswith(f"/api/{key}/"):
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            else:
                continue
            return
        self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _entry(self, folder, file):
        data = (folder / file).read_bytes()
        return {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}

    def _answer_file(self, folder, file, body):
        if not (folder / file).is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data = (folder / file).read_bytes()
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range", "")
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first or 0) : int(last) + 1 if last else None]
        if asked:
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._send(206 if asked else 200, part, headers, body, file == self.server.stalled)

    def _send_json(self, value):
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status, data, headers, body=True, stalls=False):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and stalls:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.server.half_sent.set()
            self.server.go_on.wait(60)
        elif body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving(repositories):
    """Yields the server of `repositories`, paths by key."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.repositories, server.asked, server.stalled = repositories, [], ""
    server.half_sent, server.go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()
