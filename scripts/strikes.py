"""What scripts/chaos and scripts/soak have in common: a job in a folder of its own, started in one way or another, to
which something happens while it runs; and rounds of that, each from a seed that repeats it."""
import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Hosts:
    """Some virtual hosts, for all rounds."""

    SCRIPT = str(ROOT / "scripts" / "hosts")

    def __init__(self, count):
        self.names = []
        if count == 0:
            return
        there = subprocess.run(["ip", "link", "show", "gmbridge"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if there.returncode == 0:
            # They are somebody else's: to take them down would kill what runs there.
            print("no hosts here: somebody uses them already", flush=True)
            return
        made = subprocess.run([self.SCRIPT, "up", str(count)], stderr=subprocess.PIPE, text=True)
        if made.returncode == 0:
            self.names = [f"gm{i + 1}" for i in range(count)]
        else:
            print(f"no hosts here: {made.stderr.strip()}", flush=True)
            self.down()

    def arguments(self):
        """What mpirun needs to know of them; two ranks each."""
        return [
            "--mca", "plm_rsh_agent", f"{self.SCRIPT} agent", "--mca", "btl", "tcp,self",
            "--mca", "btl_tcp_if_include", "eth0", "--mca", "oob_tcp_if_include", "eth0",
            "-host", ",".join(f"{name}:2" for name in self.names),
        ]

    def kill(self, name):
        subprocess.run([self.SCRIPT, "kill", name], check=True)

    def down(self):
        subprocess.run([self.SCRIPT, "down"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.names = []


class Round:
    # How the command lines of crunch's processes begin.
    STARTS = ["mpirun", "mpirun with recovery", "launch", "threads"]
    CRUNCHES = ("/bin/sh -c test", "sleep 0", "python3")

    def __init__(self, program, seed, hosts):
        self.hosts = hosts
        self.on_hosts = False
        self.random = random.Random(seed)
        self.program = program
        self.scratch = tempfile.TemporaryDirectory(prefix="round-")
        self.folder = Path(self.scratch.name)
        self.disk = None
        self.log = open(self.folder / "log", "w+")
        self.events = []
        self.variables = {}

    def command(self, out, *more):
        job = [str(self.folder / "job.toml"), "--out", str(out), *more]
        kinds = list(self.STARTS)
        if self.hosts.names and self.disk is None:
            kinds += ["mpirun on hosts", "launch on hosts"]
        how = self.random.choice(kinds)
        ranks = str(self.random.randint(2, 5))
        self.events.append(f"{how} {ranks}")
        self.on_hosts = how.endswith("on hosts")
        there = self.hosts.arguments() if self.on_hosts else []
        first = [self.hosts.SCRIPT, "on", self.hosts.names[0]] if self.on_hosts else []
        if how.startswith("mpirun"):
            recovery = ["--mca", "orte_enable_recovery", "1"] if how.endswith("recovery") else []
            return [*first, "mpirun", *recovery, *there, "-n", ranks, self.program, *job]
        if how.startswith("launch"):
            return [*first, self.program, "launch", "-n", ranks, *job, *(["--", *there] if there else [])]
        if how == "a sick rank":
            # Neither temporary files nor, for Python, imports work there.
            odd = ["env", "TMPDIR=/proc/nope", "ODD=1", self.program, *job]
            return ["mpirun", "-n", ranks, self.program, *job, ":", "-n", "1", *odd]
        return [self.program, *job, "--threads", ranks]

    def start(self, out, *more):
        environment = {
            **os.environ,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "STRUCK_ROUND": self.scratch.name,
            **self.variables,
        }
        return subprocess.Popen(
            self.command(out, *more), cwd=self.folder, env=environment,
            stdout=self.log, stderr=self.log, start_new_session=True,
        )

    def processes(self):
        """This round's processes: pid -> its command line and rank."""
        found = {}
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                with open(f"/proc/{entry.name}/environ", "rb") as f:
                    variables = f.read().split(b"\0")
                with open(f"/proc/{entry.name}/cmdline", "rb") as f:
                    line = f.read().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"STRUCK_ROUND={self.scratch.name}".encode() not in variables or not line:
                continue
            rank = [v.split(b"=")[1] for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
            found[int(entry.name)] = (line, int(rank[0]) if rank else None)
        return found

    def strike(self, process):
        """Lets one thing happen; what it was."""
        there = self.processes()
        own = {pid: of for pid, of in there.items() if of[0].startswith(self.program)}
        crunches = [pid for pid, (line, _) in there.items() if line.startswith(self.CRUNCHES)]
        kinds = {
            "kill a crunch": crunches,
            "kill a worker": [pid for pid, (_, rank) in own.items() if rank],
            "kill the master": [pid for pid, (_, rank) in own.items() if not rank],
            "kill the launcher": [process.pid],
            "kill everything": list(there),
            "signal the launcher": [process.pid],
            "signal a rank": [pid for pid, (_, rank) in own.items() if rank is not None],
            "fill the disk": [0] if self.disk else [],
            "kill a host": [0] if self.on_hosts else [],
        }
        kind = self.random.choice([kind for kind, pids in kinds.items() if pids] or ["nothing"])
        pids = kinds.get(kind, [])
        if kind == "fill the disk":
            filler = self.disk / "filler"
            try:
                filler.write_bytes(b"\0" * (1 << 26))
            except OSError:
                pass
            time.sleep(self.random.uniform(0.5, 2))
            filler.unlink()
        elif kind == "kill a host":
            self.hosts.kill(self.random.choice(self.hosts.names))
        elif kind.startswith("signal"):
            number = self.random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGUSR2])
            kind += f" {number.name}"
            self.send(self.random.choice(pids), number)
        elif kind != "nothing":
            for pid in pids if kind == "kill everything" else [self.random.choice(pids)]:
                self.send(pid, signal.SIGKILL)
        return kind

    @staticmethod
    def send(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def small_disk(self):
        place = self.folder / "disk"
        place.mkdir()
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place], stderr=subprocess.DEVNULL)
        if made.returncode == 0:
            self.disk = place
        return place

    def settle(self):
        """Waits for ranks that outlive their launcher."""
        deadline = time.time() + 200
        while any(line.startswith(self.program) for line, _ in self.processes().values()):
            self.expect(time.time() < deadline, "ranks outlive their launcher and do not end")
            time.sleep(0.05)

    def no_process_is_left(self):
        left = self.processes()
        deadline = time.time() + 10
        while left and time.time() < deadline:
            time.sleep(0.1)
            left = self.processes()
        self.expect(not left, f"processes are left: {left}")

    def attempts_are_accounted_for(self, out):
        """What a run's earlier attempts came to is in the table of failures."""
        attempts = self.rows(out, "SELECT count(*) FROM runs r WHERE attempt > 1 AND attempt - 1 > (SELECT count(*) FROM failures f WHERE f.key = r.key AND f.attempt < r.attempt)")
        self.expect(attempts == [(0,)], "attempts are not accounted for")

    def has_failures(self, out):
        # A task that was killed at each of its attempts counts as failed until the next start.
        failed = "SELECT (SELECT sum(failed) FROM runs) + (SELECT count(error) FROM groups)"
        return self.rows(out, failed) != [(0,)]

    def rows(self, out, sql):
        store = sqlite3.connect(f"file:{out / 'runs.sqlite'}?mode=ro", uri=True)
        try:
            return store.execute(sql).fetchall()
        finally:
            store.close()

    def runs(self, out):
        return self.rows(out, "SELECT key, failed, score, value, error, exact FROM runs ORDER BY key")

    def state(self, out):
        if not (out / "runs.sqlite").exists():
            return "nothing"
        try:
            return self.rows(out, "SELECT value FROM job WHERE key = 'state'")[0][0]
        except (sqlite3.OperationalError, IndexError):
            return "nothing"

    def expect(self, fine, why):
        if not fine:
            raise AssertionError(why)

    def close(self):
        for pid in self.processes():
            self.send(pid, signal.SIGKILL)
        if self.disk:
            subprocess.run(["umount", "-l", self.disk])
        self.scratch.cleanup()


def main(kind, doc, what):
    """Plays rounds of a kind."""
    arguments = argparse.ArgumentParser(description=doc.splitlines()[0])
    arguments.add_argument("--rounds", type=int, help="how many; 10 unless --minutes says for how long")
    arguments.add_argument("--minutes", type=float, help="begins no other round after so many")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--hosts", type=int, default=3 if os.geteuid() == 0 and shutil.which("ip") else 0)
    arguments.add_argument("--gridmpi", default=str(ROOT / "target" / "release" / "gridmpi"))
    arguments = arguments.parse_args()
    hosts = Hosts(arguments.hosts)
    try:
        play(kind, arguments, hosts, what)
    finally:
        if hosts.names:
            hosts.down()


def play(kind, arguments, hosts, what):
    struck, begun, seed = {}, time.time(), arguments.seed

    def goes_on():
        if arguments.rounds is None and arguments.minutes is not None:
            return time.time() < begun + 60 * arguments.minutes
        return seed < arguments.seed + (arguments.rounds or 10)

    while goes_on():
        this = kind(str(Path(arguments.gridmpi).resolve()), seed, hosts)
        try:
            this.play()
        except (AssertionError, subprocess.TimeoutExpired) as error:
            this.log.flush()
            print(f"round with --seed {seed} --rounds 1 failed: {error}\nwhat happened: {this.events}")
            print("".join(Path(this.log.name).read_text(errors="replace").splitlines(True)[-60:]))
            sys.exit(1)
        finally:
            this.close()
        for event in this.events:
            event = event.rstrip("0123456789 ")
            struck[event] = struck.get(event, 0) + 1
        print(f"seed {seed}: {', '.join(this.events)}", flush=True)
        seed += 1
    print(f"{seed - arguments.seed} rounds, {what}:")
    for event, times in sorted(struck.items()):
        print(f"  {times:4} {event}")
