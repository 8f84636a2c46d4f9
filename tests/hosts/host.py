"""What the tests of the hosts share: a server as a child process, and waiting without guessing how long it takes.

A test starts its servers through Host, on ports that the system chooses, and they are ended after it whatever happens:
by SIGTERM, which must end them with status 0 in good time and without a word from a sanitizer, else by SIGKILL.
"""

import os
import signal
import socket
import subprocess
import time
import unittest

PATIENCE = 60  # seconds until something that does not come counts as lost


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def primes_up_to(most):
    """A list that has at n how many primes there are up to n."""
    struck = bytearray(most + 1)
    counts, count = [], 0
    for number in range(most + 1):
        if number >= 2 and not struck[number]:
            count += 1
            struck[number * number :: number] = b"\1" * len(range(number * number, most + 1, number))
        counts.append(count)
    return counts


def resident(pid):
    """Kilobytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


class Host(unittest.TestCase):
    """A test with servers."""

    maxDiff = None

    def setUp(self):
        self.servers = []

    def tearDown(self):
        for server in self.servers:
            if server.poll() is None:
                server.send_signal(signal.SIGTERM)
        for server in list(self.servers):
            self.wait_end(server)

    def start(self, arguments, log, environment=None):
        with open(log, "wb") as output:
            server = subprocess.Popen(
                arguments, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
            )
        server.log = log
        self.servers.append(server)
        return server

    def wait_end(self, server, status=0):
        """It must end by itself, and say nothing of a sanitizer."""
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        with open(server.log, errors="replace", encoding="utf-8") as file:
            log = file.read()
        if server in self.servers:
            self.servers.remove(server)
        self.assertEqual(server.returncode, status, log[-3000:])
        for word in ("Sanitizer", "runtime error"):
            self.assertNotIn(word, log)
        return log

    def eventually(self, question, what="what was waited for"):
        """Asks until the answer is true, and returns it."""
        end = time.monotonic() + PATIENCE
        while True:
            answer = question()
            if answer:
                return answer
            if time.monotonic() > end:
                self.fail(f"{what}: not in {PATIENCE} s")
            time.sleep(0.01)

    def refused(self, arguments, status, *words, environment=None):
        """A command line that must end with this status and these words on stderr."""
        result = subprocess.run(
            arguments, capture_output=True, text=True, timeout=PATIENCE, env={**os.environ, **(environment or {})}
        )
        self.assertEqual(result.returncode, status, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        return result
