"""The files of docker/ do what they say: their very commands are run here, and what keeps a board safe is checked."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("*.Dockerfile"))
SERVER = DOCKER / "server.Dockerfile"


def instructions(file):
    """Return (word, rest) of each instruction."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", file.read_text()))
    return [tuple(line.split(" ", 1)) for line in text.splitlines() if line.strip()]


def last_stage(file):
    found = instructions(file)
    return found[max(at for at, (word, _) in enumerate(found) if word == "FROM") :]


def the(file, word):
    (rest,) = [rest for found, rest in last_stage(file) if found == word]
    return rest


def compose():
    return yaml.safe_load((DOCKER / "compose.yml").read_text())


SERVICES = compose()["services"]


def test_there_are_the_files_that_the_architecture_names():
    assert {file.name for file in FILES} == {"server.Dockerfile", "worker.Dockerfile"}
    assert not (DOCKER / "__init__.py").exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_is_pinned_small_and_not_root(file):
    found = instructions(file)
    for image in [rest for word, rest in found if word == "FROM"]:
        assert re.match(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*( AS \w+)?$", image), image
    assert {word for word, _ in found} <= {
        "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "SHELL",
    }  # fmt: skip
    uid, gid = the(file, "USER").split(":")
    assert uid == gid
    assert int(uid) > 10_000
    assert f"useradd --uid {uid}" in file.read_text()
    assert not re.search("SECRET|TOKEN|PASSWORD", the(file, "ENV"))
    for word in ("ENTRYPOINT", "CMD"):  # the program itself is process 1 and hears SIGTERM
        assert isinstance(json.loads(the(file, word)), list)
    version = re.search(r"^uv_version=(\S+)", (ROOT / ".ci" / "setup").read_text(), re.MULTILINE)[1]
    (install,) = [rest for word, rest in found if word == "RUN" and "uv pip install" in rest]
    assert f"uv=={version} " in file.read_text()
    for constraint in ("--constraints .ci/constraints.txt", "--build-constraints .ci/build-constraints.txt"):
        assert constraint in install
    assert install.endswith('".[server]"' if file == SERVER else '".[gpu]"')


def copied(file, target):
    """Put into a folder what the build stage copies from the context, if .dockerignore lets it."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for word, rest in instructions(file):
        if word != "COPY" or rest.startswith("--from"):
            continue
        *sources, where = rest.split()
        for source in sources:
            assert source in allowed, f".dockerignore hides {source}"
            place = target / where / Path(source).name if where.endswith("/") else target / where
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)


@pytest.fixture(scope="module")
def image():
    """What the image would hold, made by the Dockerfile's own line without the network; and how to run as its user."""
    folder = Path(tempfile.mkdtemp(prefix="fathom-image-"))
    folder.chmod(0o755)  # for the user of the image
    copied(SERVER, folder / "src")
    python, as_them = python_for(int(the(SERVER, "USER").split(":")[0]))
    subprocess.run([python, "-m", "venv", "--without-pip", folder / "opt"], check=True)
    (line,) = [rest for word, rest in instructions(SERVER) if word == "RUN" and "uv pip install" in rest]
    uv = Path(sys.executable).parent / "uv"
    for old, new in {
        "uv pip": f"{uv} pip",
        "/opt/fathom": str(folder / "opt"),
        "--no-cache": "--offline",
        "--compile-bytecode ": "",  # half a minute that shows nothing
    }.items():
        assert old in line
        line = line.replace(old, new)
    began = time.monotonic()
    done = subprocess.run(["bash", "-c", line], cwd=folder / "src", capture_output=True, text=True, timeout=300)
    print(f"installed in {time.monotonic() - began:.1f} s: {line}")
    if done.returncode:
        shutil.rmtree(folder)
        if "cache" in done.stderr or "network was disabled" in done.stderr:
            pytest.skip(f"uv's cache lacks a package, and tests use no network: {done.stderr[-500:]}")
        pytest.fail(done.stderr)
    yield folder, as_them
    shutil.rmtree(folder)


def python_for(user):
    """Return a Python that the image's user may run, or this one and nobody else to run it."""
    if os.getuid() != 0:
        print("runs as this user: only root can become another")
        return sys.executable, {}
    as_them = {"user": user, "group": user, "extra_groups": []}
    for path in (sys.executable, "/usr/bin/python3.11", "/usr/bin/python3"):
        try:
            code = subprocess.run([path, "-c", NEW], **as_them, cwd="/", capture_output=True).returncode
        except OSError:
            continue
        if code == 0:
            return path, as_them
    print("runs as this user: Python lies in a folder that others may not read")
    return sys.executable, {}


NEW = "import sys, venv; sys.exit(sys.version_info[:2] != (3, 11))"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.slow
@pytest.mark.turns(3)
def test_the_servers_own_commands_install_migrate_serve_and_probe(image):
    image, as_them = image
    scratch = Path(tempfile.mkdtemp(prefix="fathom-tmp-", dir=image))  # stands for the container's /tmp
    if as_them:
        os.chown(scratch, as_them["user"], as_them["group"])
    port, moved = free_port(), {"/opt/fathom": str(image / "opt"), "/tmp": str(scratch)}

    def here(words):
        return [re.sub(r"\b8000\b", str(port), word).replace("0.0.0.0", "127.0.0.1") for word in words]

    variables = {"PATH": os.environ["PATH"]}
    for name, value in re.findall(r"(\w+)=(\S+)", the(SERVER, "ENV")):
        for old, new in moved.items():
            value = value.replace(old, new)
        variables[name] = value.replace("$PATH", os.environ["PATH"])
    secrets = {
        "database_url": f"sqlite:///{scratch}/board.db", "secret_key": "k" * 40, "oidc_client_secret": "not a secret",
    }  # fmt: skip
    for name, value in SERVICES["server"]["environment"].items():
        if name.endswith("_FILE"):
            file = image / Path(value).name
            file.write_text(secrets[file.name] + "\n")
            variables[name] = str(file)
    # a public address would refuse this test's loopback; what is public is the accounts' tests' affair
    entry, command = json.loads(the(SERVER, "ENTRYPOINT")), json.loads(the(SERVER, "CMD"))
    options = {"env": variables, "cwd": scratch, "text": True, **as_them}
    program = [str(image / "opt" / "bin" / entry[0]), *entry[1:]]
    upgraded = subprocess.run([*program, *SERVICES["migration"]["command"]], capture_output=True, timeout=60, **options)
    assert upgraded.returncode == 0, upgraded.stderr
    check = json.loads(the(SERVER, "HEALTHCHECK").partition("CMD ")[2])
    check = [str(image / "opt" / "bin" / check[0]), *here(check[1:])]
    process = subprocess.Popen([*program, *here(command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    try:
        end = time.monotonic() + 40
        while (probed := subprocess.run(check, capture_output=True, **options)).returncode:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < end, probed.stderr
            time.sleep(0.3)
        owner = Path(f"/proc/{process.pid}").stat().st_uid if Path("/proc").exists() else os.getuid()
        assert owner == as_them.get("user", os.getuid())
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[0]
    assert process.returncode in (0, -signal.SIGTERM)
    assert '"path": "/healthz"' in output  # FATHOM_LOG=json
    assert subprocess.run(check, capture_output=True, **options).returncode != 0
    where = subprocess.run(
        [image / "opt" / "bin" / "python", "-c", "import fathom.server, torch"], capture_output=True, **options
    )
    assert "No module named 'torch'" in where.stderr  # the server's image holds no engine


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_held_in(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= {"CHOWN", "NET_BIND_SERVICE"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode"} & set(service)
    assert "docker.sock" not in str(service)
    limits = service["deploy"]["resources"]["limits"]
    assert {"memory", "pids"} <= set(limits)
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name in ("migration", "proxy-volumes") else "unless-stopped")
    image = service["image"]
    assert image in ("fathom-server", "fathom-worker") or re.search(r":\d+\.\d+", image)
    ours = image.startswith("fathom-")
    assert ours or re.fullmatch(r"\d+:\d+", service["user"])
    assert ours or service["user"] != "0:0" or (name, service["network_mode"]) == ("proxy-volumes", "none")
    assert ours or name == "proxy-volumes" or "test" in service["healthcheck"]
    assert all("noexec" in one or one.startswith(("/tmp:", "/run/postgresql:")) for one in service.get("tmpfs", []))


def test_only_the_server_reaches_the_database_and_only_the_proxy_is_reached():
    nets = compose()["networks"]
    assert {name for name, one in SERVICES.items() if "data" in one.get("networks", [])} == {
        "database", "migration", "server"
    }  # fmt: skip
    assert nets["data"]["internal"] is True
    assert SERVICES["database"]["networks"] == ["data"]
    assert [name for name, one in SERVICES.items() if "ports" in one] == ["proxy"]
    assert SERVICES["worker"]["networks"] == ["work"]
    address = SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    assert SERVICES["server"]["environment"]["FATHOM_PROXIES"] == address
    assert nets["front"]["ipam"]["config"][0]["subnet"].startswith(address.rpartition(".")[0])


def test_secrets_come_as_files_and_each_service_gets_its_own_only():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("SECRET|TOKEN|PASSWORD|_DB$|_DB_", variable) and variable != "POSTGRES_DB":
                assert variable.endswith("_FILE"), (name, variable)
            if variable.endswith("_FILE"):
                assert Path(value).name in service["secrets"]
        assert set(service.get("secrets", [])) <= set(compose()["secrets"])
    assert SERVICES["worker"]["secrets"] == ["worker_token"]
    assert SERVICES["worker"]["profiles"] == ["gpu"]
    assert "secrets" not in SERVICES["proxy"]


def test_every_variable_of_ours_is_one_that_the_settings_read():
    known = (ROOT / "harness" / "settings.py").read_text()
    said = (DOCKER / "compose.yml").read_text() + "".join(file.read_text() for file in FILES)
    names = {name.removesuffix("_FILE") for name in re.findall(r"\b(FATHOM_\w+?):? ", said)} - {"FATHOM_DOMAIN"}
    assert {"FATHOM_DB", "FATHOM_SECRET_KEY", "FATHOM_URL"} <= names
    for name in names:
        assert f'"{name}"' in known, name


def test_the_proxy_limits_bodies_sends_events_at_once_and_trusts_no_visitors_address():
    text = (DOCKER / "Caddyfile").read_text()
    for needed in (
        "Strict-Transport-Security", "max_size 65MiB", "flush_interval -1", "header_up X-Forwarded-For {remote_host}",
        "respond @inside 404", "reverse_proxy server:8000",
    ):  # fmt: skip
        assert needed in text
    assert text.count("{") == text.count("}")
    assert f":{the(SERVER, 'EXPOSE')} " in text.replace("\n", " ")


def test_the_workers_profile_leaves_user_and_network_namespaces_alone():
    profile = json.loads((DOCKER / "seccomp-worker.json").read_text())
    assert SERVICES["worker"]["security_opt"][1] == "seccomp:./seccomp-worker.json"
    masked = {one["args"][0]["value"] for one in profile["syscalls"] if "unshare" in one["names"]}
    assert masked == {0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000, 0x80}  # not 0x10000000, not 0x40000000
    never = profile["syscalls"][0]["names"]
    assert {"mount", "ptrace", "bpf", "setns", "io_uring_setup", "keyctl", "kexec_load", "process_vm_readv"} <= set(
        never
    )
    assert not {"unshare", "clone", "clone3"} & set(never)


def tool(*names):
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is on the PATH")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_hadolint_finds_nothing(file):
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), file], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_caddy_takes_the_caddyfile(environment):
    words = [tool("caddy"), "validate", "--config", DOCKER / "Caddyfile", "--adapter", "caddyfile"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(FATHOM_DOMAIN="fathom.example"))
    assert done.returncode == 0, done.stderr


def test_compose_takes_the_file(environment, tmp_path):
    variables = environment(FATHOM_DOMAIN="fathom.example", FATHOM_OIDC_CLIENT_ID="id")
    choices = [["docker", "compose"], ["docker-compose"]]
    version = [*next((one for one in choices if _is_new(one)), ["none"])]
    if version == ["none"]:
        pytest.skip("no Docker Compose of version 2 or newer on the PATH")
    shutil.copytree(DOCKER, tmp_path / "docker")
    words = [*version, "-f", tmp_path / "docker" / "compose.yml", "--profile", "gpu", "config", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert services["server"]["environment"]["FATHOM_URL"] == "https://fathom.example"
    bare = environment()
    bare.pop("FATHOM_DOMAIN", None)
    assert subprocess.run(words, capture_output=True, env=bare).returncode != 0  # a missing name is said, not guessed


def _is_new(words):
    try:
        done = subprocess.run([*words, "version", "--short"], capture_output=True, text=True)
    except OSError:
        return False
    return done.returncode == 0 and int(done.stdout.strip().lstrip("v").partition(".")[0] or 0) >= 2
