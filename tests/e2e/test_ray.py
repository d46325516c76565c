import ipaddress
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from results import connect

Make = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def joulemark(
    *arguments: str, prefix: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "harness", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def rows(db: Path, query: str) -> list[tuple[Any, ...]]:
    with connect(db) as reader:
        return reader.sql(query).fetchall()


def written(campaign: dict[str, Any], folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(json.dumps(campaign))
    return path


@pytest.mark.slow
def test_ray_gives_the_same_rows_as_the_local_fleet(campaign: Make, tmp_path: Path) -> None:
    """A private Ray runs sound and crashing arms alike; its rows differ from the local fleet's in the node alone."""
    file = written(campaign("sound", "aborts", repeats=1), tmp_path)
    ended = {}
    for fleet in ("ray", "local"):
        db = tmp_path / f"{fleet}.duckdb"
        process = joulemark("run", str(file), "--db", str(db), "--fleet", fleet, "--trust")
        _, err = process.communicate(timeout=240)
        assert process.returncode == 4, err
        assert "Traceback" not in err
        ended[fleet] = rows(db, "SELECT trial_id, workload, status, environment_id FROM v_trials ORDER BY workload")
    assert ended["ray"] == ended["local"]


@dataclass
class Hosts:
    """Two hosts on this machine: network namespaces on one bridge, with a Ray node in each."""

    token: Path
    tag: str = field(default_factory=lambda: secrets.token_hex(3))
    network: ipaddress.IPv4Network = field(default_factory=lambda: ipaddress.ip_network("10.219.77.0/24"))

    def address(self, host: int) -> str:
        return str(self.network[10 + host])

    def inside(self, host: int) -> tuple[str, ...]:
        return ("ip", "netns", "exec", f"jm{self.tag}{host}")

    @property
    def env(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}

    def raise_network(self) -> None:
        bridge = f"jmb{self.tag}"
        _ip("link", "add", bridge, "type", "bridge")
        _ip("link", "set", bridge, "up")
        for host in (0, 1):
            name, outer = f"jm{self.tag}{host}", f"jmv{self.tag}{host}"
            _ip("netns", "add", name)
            _ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", outer, "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    def start_ray(self, host: int) -> None:
        role = (
            ["--head", "--port=6399", "--include-dashboard=false"]
            if host == 0
            else [f"--address={self.address(0)}:6399"]
        )
        command = [*self.inside(host), *RAY, "start", *role, f"--node-ip-address={self.address(host)}", "--num-cpus=2"]
        options = ["--disable-usage-stats", "--object-store-memory=100000000"]
        done = subprocess.run(
            [*command, *options],
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def kill_ray(self, host: int) -> None:
        """Kill everything inside one host, and nothing else."""
        pids = subprocess.run(
            ["ip", "netns", "pids", f"jm{self.tag}{host}"], capture_output=True, text=True, check=True
        )
        for pid in map(int, pids.stdout.split()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def lower(self) -> None:
        for host in (0, 1):
            self.kill_ray(host)
            _ip("netns", "delete", f"jm{self.tag}{host}")
        _ip("link", "delete", f"jmb{self.tag}")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Skipped, with the reason, where namespaces cannot be made."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("two hosts need root and iproute2")
    token = tmp_path / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    made = Hosts(token=token)
    try:
        made.raise_network()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not permitted here: {error.stderr}")
    try:
        made.start_ray(0)
        made.start_ray(1)
        yield made
    finally:
        made.lower()


@pytest.mark.slow
def test_two_hosts_share_the_blocks_and_a_lost_one_is_resumed(hosts: Hosts, campaign: Make, tmp_path: Path) -> None:
    """Blocks go to both nodes in turn; a node killed in mid-run ends in exit 4, names it, and is resumed without it."""
    db = tmp_path / "store.duckdb"
    file = written(campaign("slow", repeats=12), tmp_path)
    arguments = ("run", str(file), "--db", str(db), "--address", f"{hosts.address(0)}:6399", "--trust")
    first = joulemark(*arguments, prefix=hosts.inside(0), env=hosts.env)
    deadline = time.monotonic() + 120
    while not (db.exists() and rows(db, "SELECT count(DISTINCT node) FROM v_trials") == [(2,)]):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline, "the two nodes did not both record a trial in time"
        time.sleep(0.05)
    hosts.kill_ray(1)
    _, err = first.communicate(timeout=120)
    assert first.returncode == 4, err
    assert "Traceback" not in err
    assert "lost in mid-run" in err
    assert rows(db, "SELECT count(*) FROM v_trials WHERE status = 'crashed'")[0][0] <= 1, "none if it fell between two"
    done = rows(db, "SELECT count(*) FROM v_trials WHERE status = 'ok'")[0][0]
    assert done < 12
    second = joulemark(*arguments, prefix=hosts.inside(0), env=hosts.env)
    _, err = second.communicate(timeout=180)
    assert second.returncode == 0, err
    assert rows(db, "SELECT count(*) FROM v_trials WHERE status = 'ok'") == [(12,)]
    assert f"{done} of 12 trials are recorded already" in err
