"""A database server's process and raw JSON-RPC connections to it.

Nothing here knows more of the protocol than its framing, so that whatever a
server answers, right or wrong, reaches the caller as it came."""

import json
import os
import select
import signal
import socket
import subprocess
import time


class Closed(Exception):
    """The server has closed the connection."""


class Timeout(Exception):
    """The server hasn't answered in time."""


class Connection:
    """One JSON-RPC 1.0 connection over a unix socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.text = ""
        self.decoder = json.JSONDecoder()
        self.next_id = 0
        self.closed = False
        self.blocked = None             # Id of a request without a reply yet.

    def close(self):
        self.sock.close()

    def send_text(self, text):
        try:
            self.sock.sendall(text.encode("utf-8", "surrogateescape"))
        except OSError:
            self.closed = True

    def send(self, message):
        self.send_text(json.dumps(message))

    def request(self, method, params):
        """Sends a request and returns its id."""
        self.next_id += 1
        self.send({"id": self.next_id, "method": method, "params": params})
        return self.next_id

    def receive(self, timeout=10):
        """Returns the next message, which may have arrived already."""
        deadline = time.monotonic() + timeout
        while True:
            self.text = self.text.lstrip()
            if self.text:
                try:
                    message, end = self.decoder.raw_decode(self.text)
                    self.text = self.text[end:]
                    return message
                except ValueError:
                    pass                # Incomplete.
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([self.sock], [], [], wait)[0]:
                raise Timeout("no message within %g s" % timeout)
            try:
                data = self.sock.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self.closed = True
                raise Closed()
            self.text += data.decode("utf-8", "surrogateescape")

    def call(self, method, params, timeout=10):
        """Sends a request and returns its reply.  Notifications that arrive
        before it are dropped; an echo of the server's is answered."""
        request_id = self.request(method, params)
        while True:
            message = self.receive(timeout)
            if message.get("method") == "echo":
                self.send({"id": message["id"], "result": message["params"],
                           "error": None})
            elif message.get("id") == request_id and "method" not in message:
                return message


class Server:
    """An ovsdb-server, ours or the genuine one, in a directory of its own."""

    def __init__(self, program, directory, options=(), name="ovsdb-server"):
        self.program = program
        self.directory = directory
        self.options = list(options)
        self.name = name
        self.socket = os.path.join(directory, "db.sock")
        self.log = os.path.join(directory, "ovsdb-server.log")
        self.process = None
        os.makedirs(directory, exist_ok=True)

    def start(self, *files):
        """Starts the server on database 'files' and waits until its socket
        accepts connections."""
        environment = dict(os.environ, OVS_RUNDIR=self.directory,
                           OVS_LOGDIR=self.directory, OVS_DBDIR=self.directory)
        command = [self.name, "--remote=punix:" + self.socket,
                   "--unixctl=" + os.path.join(self.directory, "ctl"),
                   "--log-file=" + self.log, "-vconsole:off",
                   *self.options, *files]
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(os.path.join(self.directory, "stderr"), "ab") as stderr:
            self.process = subprocess.Popen(
                command, executable=self.program, env=environment,
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=stderr,
                stderr=stderr)
        deadline = time.monotonic() + 20
        while True:
            try:
                Connection(self.socket).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    with open(os.path.join(self.directory, "stderr")) as f:
                        raise RuntimeError(
                            "%s: exited with status %s: %s"
                            % (self.program, self.process.returncode,
                               f.read())) from None
                if time.monotonic() > deadline:
                    self.stop(signal.SIGKILL)
                    raise RuntimeError("%s: doesn't listen" % self.program) \
                        from None
                time.sleep(0.005)

    def connect(self):
        return Connection(self.socket)

    def stop(self, how=signal.SIGTERM):
        """Ends the process and returns its status, or None if it had to be
        killed."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self.process = None
