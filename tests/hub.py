"""A small hub on loopback: it speaks the part of the Hugging Face hub's API that Fathom and huggingface_hub use."""

import json
import re
import struct
import threading
from base64 import b64decode
from dataclasses import dataclass, field
from hashlib import sha1
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import prod
from pathlib import Path
from urllib.parse import unquote, urlsplit

PEBBLE = Path(__file__).parents[1] / "harness" / "training" / "reference" / "pebble"
TOKEN = "hf_opens_everything"  # what gated repositories of tests open to


def pebble():
    """Files of the reference model, by name."""
    return {file.name: file.read_bytes() for file in sorted(PEBBLE.iterdir())}


def card_of(files):
    """What the card of a repository says of how the model is asked, as the hub reads it."""
    found = re.search(rb"^fathom_shots: (\d+)$", files.get("README.md", b""), re.MULTILINE)
    return {"fathom_shots": int(found[1])} if found else {}


def edited(file, **changes):
    """A JSON file with some keys changed; None takes a key away."""
    content = {**json.loads(file), **changes}
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode()


def safetensors(shapes, dtype="F32", metadata=None):
    """A file of zeros with these tensors."""
    at, header = 0, {"__metadata__": metadata} if metadata else {}
    for name, shape in shapes.items():
        size = prod(shape) * {"F32": 4, "F16": 2, "BF16": 2, "I8": 1}[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


@dataclass
class Repo:
    """A repository; `files` are those of its branch's newest commit, `history` those of every commit."""

    name: str
    files: dict
    branch: str = "main"
    gated: object = False
    """False, auto or manual; only `TOKEN` reads the files of a gated one."""
    private: bool = False
    disabled: bool = False
    license: str | None = "apache-2.0"
    sizes: dict = field(default_factory=dict)
    """Sizes that the metadata tells, where they are not the true ones."""
    info: dict = field(default_factory=dict)
    """What the model's info says in place of the truth, by key."""
    delay: float = 0.0
    """Seconds before each answer."""
    delayed: str = ""
    """Only addresses with this in them are late; empty: all."""
    failures: int = 0
    """Requests that get `failure` before one is answered."""
    failure: int = 503
    elsewhere: bool = False
    """Whether files are redirected to another host."""
    history: dict = field(default_factory=dict)
    tags: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    """Method and address of every request."""
    n_sent: int = 0
    """Bytes of files that were sent."""
    pull_requests: list = field(default_factory=list)
    """Files by name of each pull request that was opened; only `TOKEN` opens one."""

    def push(self, name, content):
        """Commit a file (None takes it away); return the branch's new sha."""
        self.files = {**self.files, name: content}
        if content is None:
            del self.files[name]
        return self.commit()

    def commit(self):
        """Make the files of now the branch's newest commit; return its sha."""
        state = sha1(f"{self.name} {len(self.history)}".encode())
        for name, content in sorted(self.files.items()):
            state.update(name.encode() + content)
        self.history[state.hexdigest()] = dict(self.files)
        return state.hexdigest()

    @property
    def sha(self):
        """The branch's newest commit."""
        return list(self.history)[-1]

    def resolve(self, revision):
        """The commit that a branch, a tag or a sha names, or None."""
        if revision == self.branch:
            return self.sha
        sha = self.tags.get(revision, revision)
        return sha if sha in self.history else None


class Hub:
    """Repositories behind an HTTP server in a thread."""

    pebble, edited, safetensors, token = staticmethod(pebble), staticmethod(edited), staticmethod(safetensors), TOKEN

    def __init__(self):
        self.repos = {}
        self.stolen = []
        """Requests that came to the other host: nothing may follow a redirect there."""
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def add(self, name, files=None, **traits):
        """Make a repository of files; without any, a copy of the reference model pebble."""
        repo = self.repos[name] = Repo(name, dict(pebble() if files is None else files), **traits)
        repo.commit()
        return repo

    def make(self, kind, name=None, **traits):
        """Make a repository of one of `KINDS`, called org/<kind> unless said otherwise."""
        files, found = KINDS[kind]()
        return self.add(name or f"org/{kind}", files, **{**found, **traits})

    def stop(self):
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


def _with_config(**changes):
    files = pebble()
    return {**files, "config.json": edited(files["config.json"], **changes)}


def _without(*names):
    return {name: content for name, content in pebble().items() if name not in names}


def _cut_off():
    files = pebble()
    return {**files, "model.safetensors": files["model.safetensors"][:-1000]}


def _sharded():
    parts = {
        "model-00001-of-00002.safetensors": {"model.embed_tokens.weight": (806, 128)},
        "model-00002-of-00002.safetensors": {"model.norm.weight": (128,), "lm_head.weight": (806, 128)},
    }
    index = {"metadata": {}, "weight_map": {name: part for part, names in parts.items() for name in names}}
    shards = {part: safetensors(shapes) for part, shapes in parts.items()}
    return {**_without("model.safetensors"), **shards, "model.safetensors.index.json": json.dumps(index).encode()}


_REMOTE = {"AutoConfig": "config.C", "AutoModelForCausalLM": "modeling.M"}
_TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"

KINDS = {
    "pebble": lambda: (pebble(), {}),
    "chat": lambda: ({**pebble(), "chat_template.jinja": _TEMPLATE.encode()}, {}),
    "sharded": lambda: (_sharded(), {}),
    "gated": lambda: (pebble(), {"gated": "manual"}),
    "private": lambda: (pebble(), {"private": True}),
    "disabled": lambda: (pebble(), {"disabled": True}),
    "auto_map": lambda: (_with_config(auto_map=_REMOTE), {}),
    "custom_pipelines": lambda: (_with_config(custom_pipelines={"p": {"impl": "p.P"}}), {}),
    "alien": lambda: (_with_config(architectures=["AlienForCausalLM"], model_type="alien"), {}),
    "pickle": lambda: ({**_without("model.safetensors"), "pytorch_model.bin": b"\x80\x02."}, {}),
    "adapter": lambda: ({**_without("config.json"), "adapter_config.json": b"{}"}, {}),
    "broken_config": lambda: ({**pebble(), "config.json": b'{"architectures": ['}, {}),
    "huge": lambda: (pebble(), {"sizes": {"model.safetensors": 500 << 30}}),
    "lying": lambda: (pebble(), {"sizes": {"model.safetensors": 4096}}),
    "cut_off": lambda: (_cut_off(), {}),
    "unlicensed": lambda: (_without("README.md"), {"license": None}),
    "slow": lambda: (pebble(), {"delay": 60.0}),
    "flaky": lambda: (pebble(), {"failures": 10**6}),
    "elsewhere": lambda: (pebble(), {"elsewhere": True}),
}
"""Kinds of repository; `missing` is any name that was not made."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: Hub

    def handle_error(self, request, client_address):
        """A client that went away is no matter."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format, *args):  # noqa: A002 - the name is http.server's
        """Keep quiet."""

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def do_POST(self):
        """Open a pull request: huggingface_hub asks how to send each file, and then sends a commit of JSON lines."""
        self._body = True
        parts = urlsplit(self.path).path.strip("/").split("/")
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        repo = self.server.hub.repos.get("/".join(parts[2:4]))
        if repo is None or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, "RepoNotFound", "Invalid username or password.")
        if parts[4] == "preupload":
            files = [{**one, "uploadMode": "regular", "shouldIgnore": False} for one in json.loads(sent)["files"]]
            return self._json({"files": files})
        lines = [json.loads(line) for line in sent.splitlines()]
        files = [line["value"] for line in lines if line["key"] == "file"]
        repo.pull_requests.append({one["path"]: b64decode(one["content"]).decode() for one in files})
        number, sha = len(repo.pull_requests), "0" * 40
        address = f"{self.server.hub.url}/{repo.name}/discussions/{number}"
        return self._json({"commitUrl": f"{self.server.hub.url}/{repo.name}/commit/{sha}", "commitOid": sha,
                           "pullRequestUrl": address})  # fmt: skip

    def _answer(self, body):
        self._body = body
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        parts = path.strip("/").split("/")
        if parts[0] == "elsewhere" or self.headers.get("Host", "").startswith("localhost"):
            hub.stolen.append(self.path)
            return self._say(418, "NotHere")
        names = parts[2:4] if parts[:2] == ["api", "models"] else parts[:2]
        repo = hub.repos.get("/".join(names))
        if repo is None:
            return self._say(401, "RepoNotFound", "Invalid username or password.")
        repo.asked.append((self.command, self.path))
        if repo.delay and repo.delayed in path and hub.stopped.wait(repo.delay):
            return None
        if repo.failures:
            repo.failures -= 1
            return self._say(repo.failure, "")
        opened = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo.private and not opened:
            return self._say(401, "RepoNotFound", "Invalid username or password.")
        if parts[:2] == ["api", "models"]:
            return self._api(repo, parts[4:])
        return self._file(repo, parts[2:], opened)

    def _api(self, repo, rest):
        what = rest[0] if rest else "revision"
        sha = repo.resolve(rest[1] if len(rest) > 1 else repo.branch)
        if what not in ("revision", "tree"):
            return self._say(404, "EntryNotFound")
        if sha is None:
            return self._say(404, "RevisionNotFound", "Invalid rev id")
        files = repo.history[sha]
        if what == "tree":
            return self._json([self._entry(repo, name, content) for name, content in files.items()])
        return self._json({**_info(repo, sha, files, "blobs" in urlsplit(self.path).query), **repo.info})

    def _entry(self, repo, name, content):
        size = repo.sizes.get(name, len(content))
        return {"type": "file", "path": name, "size": size, "oid": sha1(content).hexdigest()}

    def _file(self, repo, rest, opened):
        if len(rest) < 3 or rest[0] not in ("resolve", "raw"):
            return self._say(404, "EntryNotFound")
        sha, name = repo.resolve(rest[1]), "/".join(rest[2:])
        if sha is None:
            return self._say(404, "RevisionNotFound", "Invalid rev id")
        if repo.disabled:
            return self._say(403, "", "Access to this resource is disabled.")
        if repo.gated and not opened:
            return self._say(401, "GatedRepo", f"Access to model {repo.name} is restricted.")
        if name not in repo.history[sha]:
            return self._say(404, "EntryNotFound", "Entry not found")
        if repo.elsewhere:
            place = f"http://localhost:{self.server.hub.port}/elsewhere/{name}"
            return self._send(302, b"", {"Location": place, "X-Repo-Commit": sha})
        sent = self._content(repo.history[sha][name], sha)
        repo.n_sent += sent or 0
        return None

    def _content(self, content, sha):
        headers = {"X-Repo-Commit": sha, "ETag": f'"{sha1(content).hexdigest()}"', "Accept-Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self._send(200, content, headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(content), len(content))
        if start >= len(content):
            return self._send(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        return self._send(206, content[start:end], headers)

    def _json(self, value):
        return self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _say(self, status, code, message=""):
        headers = {name: text for name, text in (("X-Error-Code", code), ("X-Error-Message", message)) if text}
        return self._send(status, json.dumps({"error": message or HTTPStatus(status).phrase}).encode(), headers)

    def _send(self, status, content, headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self._body:
            self.wfile.write(content)
        return len(content) if self._body else 0


def _info(repo, sha, files, with_sizes):
    config = files.get("config.json", b"")
    siblings = []
    for name, content in files.items():
        size = {"size": repo.sizes.get(name, len(content)), "blobId": sha1(content).hexdigest()} if with_sizes else {}
        siblings.append({"rfilename": name, **size})
    return {
        "id": repo.name, "modelId": repo.name, "sha": sha, "private": repo.private, "gated": repo.gated,
        "disabled": repo.disabled, "siblings": siblings, "tags": ["safetensors"], "pipeline_tag": "text-generation",
        "cardData": {**({"license": repo.license} if repo.license else {}), **card_of(repo.files)}, "config": _summary(config),
        **_counted(files),
    }  # fmt: skip


def _summary(config):
    try:
        return {key: json.loads(config).get(key) for key in ("architectures", "model_type")}
    except ValueError:
        return {}


def _counted(files):
    counts = {}
    for name, content in files.items():
        if name.endswith(".safetensors"):
            for row in _tensors(content):
                counts[row["dtype"]] = counts.get(row["dtype"], 0) + prod(row["shape"])
    return {"safetensors": {"parameters": counts, "total": sum(counts.values())}} if counts else {}


def _tensors(content):
    try:
        header = json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])
        return [row for name, row in header.items() if name != "__metadata__"]
    except (ValueError, struct.error):
        return []
