"""serve.py: starts the server for a test, talks to it, and sees that it is gone afterwards."""
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time


def fail(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def check(condition, text):
    if not condition:
        fail(text)


def skip(text):
    print(f"skipped: {text}")
    sys.exit(77)


def until(what, condition, seconds=60, describe=lambda: ""):
    """Asks until the condition holds; fails if that takes too long, with a description of how things stand."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            fail(f"not within {seconds} s: {what} {describe()}")
        time.sleep(0.02)


class Beside(threading.Thread):
    """Runs a function at the same time; finish() waits for it, and fails if it did."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.function, self.arguments, self.mistake = function, arguments, None
        self.start()

    def run(self):
        try:
            self.function(*self.arguments)
        except BaseException as mistake:    # sys.exit, too, would end this thread only
            self.mistake = mistake

    def finish(self):
        self.join()
        if self.mistake:
            raise self.mistake


class Server:
    """A server on a free port, ended when the `with` block is left."""

    def __init__(self, *options):
        program = sys.argv[1]
        # setpriv: whatever becomes of this test, or of the thread that started it, the server does not outlive it.
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", program, "--port", "0", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rstrip("/").split(":")[-1])

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def get(self, path, method="GET", body=None, seconds=60):
        """Status and body of one request, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        connection.request(method, path, body)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, content

    def stats(self):
        status, content = self.get("/stats?since=1000000000000000")
        check(status == 200, f"/stats: {status}")
        return json.loads(content)

    def settled(self):
        """The counters once nothing is under way, checked to add up."""
        found = {}

        def quiet():
            found.update(self.stats())
            return (found["tiles"]["open"] == 0 and found["jobs"]["queued"] == 0 and found["jobs"]["running"] == 0
                    and found["http"]["connections"] == 1)
        until("nothing is under way", quiet)
        tiles, jobs = found["tiles"], found["jobs"]
        check(tiles["asked"] == tiles["drawn"] + tiles["late"] + tiles["refused"] + tiles["left"] + tiles["failed"],
              f"tiles do not add up: {tiles}")
        check(jobs["submitted"] == jobs["succeeded"] + jobs["failed"] + jobs["cancelled"] + jobs["timed_out"],
              f"jobs do not add up: {jobs}")
        check(tiles["asked"] == jobs["submitted"] + jobs["refused"], f"tiles {tiles} and jobs {jobs} differ")
        check(tiles["refused"] == jobs["refused"], f"tiles {tiles} and jobs {jobs} differ")
        return found

    def memory(self):
        """Resident memory in KiB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("VmRSS:")).split()[1])

    def sanitized(self):
        """Built with a sanitizer, which keeps memory for itself?"""
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii") as maps:
            return re.search(r"lib[at]san", maps.read()) is not None

    def end(self, seconds=60):
        """SIGTERM; returns what the server said last. It must end with 0."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=seconds)
        check(self.process.returncode == 0, f"status {self.process.returncode} after SIGTERM: {errors}")
        return errors
