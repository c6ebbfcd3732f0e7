"""The processes that a run starts. It ends all of them, by their ids."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

from driver import machine, paths

_running = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop_all():
    for process in list(_running):
        process.stop()


class BackgroundProcess:
    """A process that runs until it is stopped. Its error output goes to a file in target/peers."""

    def __init__(self, name, command, env, reads_output=False):
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        with open(paths.LOGS / f"{name}.log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if reads_output else subprocess.DEVNULL,
                stderr=log,
            )
        _running.append(self)

    def pids(self):
        """This process and its children."""
        return [self.process.pid, *machine.children(self.process.pid)]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._forget()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._forget()

    def _forget(self):
        if self in _running:
            _running.remove(self)


class PrintingProcess(BackgroundProcess):
    """A process whose lines of JSON are collected as it prints them."""

    def __init__(self, name, command, env):
        super().__init__(name, command, env, reads_output=True)
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def wait_for(self, condition, limit):
        """Waits until a condition on the lines holds. Returns whether it does."""
        deadline = time.monotonic() + limit
        while not condition(self.lines):
            if time.monotonic() > deadline or self.process.poll() is not None:
                return condition(self.lines)
            time.sleep(0.02)
        return True


def run(command, env=None, cwd=None):
    """Runs a command to its end and returns its output."""
    done = subprocess.run(
        command, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def wait_for_port(port, limit=30):
    deadline = time.monotonic() + limit
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
