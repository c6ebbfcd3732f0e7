"""The two services that are compared: how each is set up, started and read."""

import json

from driver import machine, paths, processes

PUBLIC_URL = "https://sms.example.com"
PATH = "/api/sms/webhook"
ACCOUNT = "AC" + "a" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

DATABASE = "service"
SENDERS = (paths.PEERS / "driver" / "senders.sql").read_text()


class System:
    """One service: a receiver and some workers on a database of their own."""

    name = ""
    # Messages that have not taken effect.
    backlog_sql = ""

    def __init__(self, server, programs):
        self.server = server
        self.programs = programs
        self.template = f"{self.name}_template"
        # Where the service connects to. A proxy may stand between.
        self.database_port = server.port
        self.receiver, self.workers = None, []

    def make_template(self):
        """Makes the database that each measurement starts with."""
        self.server.create_empty(self.template)
        self.fill(self.template)
        self.server.settle(self.template)

    def start(self, workers):
        """On a new database."""
        self.server.copy(self.template, DATABASE)
        self.port = processes.free_port()
        self.receiver = self.start_receiver()
        processes.wait_for_port(self.port)
        self.workers = [self.start_worker() for _ in range(workers)]

    def stop(self):
        for process in [*self.workers, *([self.receiver] if self.receiver else [])]:
            process.stop()
        self.receiver, self.workers = None, []

    def backlog(self):
        return int(self.server.query(DATABASE, self.backlog_sql))

    def load_command(self, **options):
        command = [str(self.programs.rust / "loadgen"), "--url", f"http://127.0.0.1:{self.port}"]
        command += ["--public-url", PUBLIC_URL + PATH, "--token", TOKEN, "--account-sid", ACCOUNT]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        return command

    def load(self, **options):
        return json.loads(processes.run(self.load_command(**options)))

    def fill(self, database):
        raise NotImplementedError

    def start_receiver(self):
        raise NotImplementedError

    def start_worker(self):
        raise NotImplementedError


class NodeService(System):
    name = "node"
    backlog_sql = "select count(*) from graphile_worker._private_jobs"

    # As its documentation says: one process of the cluster module a core.
    RECEIVER_PROCESSES = machine.CORES

    def fill(self, database):
        app = (paths.REPOSITORY / "migrations" / "0001_app_tables.sql").read_text()
        schema = (paths.PEERS / "node-service" / "schema.sql").read_text()
        self.server.query(database, f"begin;\n{app}\n{schema}\n{SENDERS}\ncommit;")
        folder = paths.WORK / "node-service"
        client = folder / "node_modules" / "graphile-worker" / "dist" / "cli.js"
        processes.run(
            [self.programs.node, str(client), "-c", self.server.url(database), "--schema-only"],
            cwd=folder,
        )

    def start_receiver(self):
        return self._start("receiver.mjs", PROCESSES=str(self.RECEIVER_PROCESSES))

    def start_worker(self):
        return self._start("worker.mjs")

    def _start(self, script, **env):
        command = [self.programs.node, str(paths.WORK / "node-service" / script)]
        env |= {
            "NODE_ENV": "production",
            "DATABASE_URL": self.server.url(DATABASE, self.database_port),
            "PORT": str(self.port),
            "PUBLIC_URL": PUBLIC_URL + PATH,
            "TWILIO_AUTH_TOKEN": TOKEN,
        }
        return processes.BackgroundProcess(f"node-{script}", command, env)


class Pigeonhole(System):
    name = "pigeonhole"
    backlog_sql = "select count(*) from queue.jobs where kind = 'process_message'"

    def fill(self, database):
        env = self._env(self.server.url(database))
        processes.run([self.programs.pigeonhole, "migrate"], env=env)
        self.server.query(database, SENDERS)
        processes.run([self.programs.pigeonhole, "phone-numbers", "seal"], env=env)

    def start_receiver(self):
        return self._start("receiver")

    def start_worker(self):
        return self._start("worker")

    def _start(self, role):
        env = self._env(self.server.url(DATABASE, self.database_port))
        env["LISTEN_ADDR"] = f"127.0.0.1:{self.port}"
        env["ADMIN_ADDR"] = f"127.0.0.1:{processes.free_port()}"
        command = [self.programs.pigeonhole, role]
        return processes.BackgroundProcess(f"pigeonhole-{role}", command, env)

    def _env(self, url):
        """The default settings, but for a rate limit that the load would exceed, recovery and
        replies, which need a Twilio."""
        return {
            "DATABASE_URL": url,
            "PUBLIC_BASE_URL": PUBLIC_URL,
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "TWILIO_PHONE_NUMBER": "+15555556789",
            "ENCRYPTION_KEY": KEY,
            "MEDIA_STORE": f"file://{paths.WORK / 'media'}",
            "RATE_LIMIT_MESSAGES_PER_HOUR": "1000000",
            "RATE_LIMIT_BURST": "1000000",
            "RECOVERY": "off",
            "REPLIES": "none",
        }
