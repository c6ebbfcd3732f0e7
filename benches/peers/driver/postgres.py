"""A Postgres server for one run."""

import glob
import os
import pwd
import shutil
import subprocess
import tempfile

from driver import processes

# As the benchmarks of the repository, with fsync on, but for `track_commit_timestamp`, which tells
# when items were committed. Otherwise the defaults.
SETTINGS = {
    "fsync": "on",
    "max_connections": "300",
    "max_wal_size": "4GB",
    "shared_buffers": "512MB",
    "track_commit_timestamp": "on",
}


class PostgresServer:
    def __enter__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = os.environ.get("PG_BIN") or (found[-1] if found else "")
        if not os.path.exists(f"{self.bin}/initdb"):
            raise SystemExit("there is no Postgres server: set PG_BIN to the folder of its programs")
        self.port = processes.free_port()
        self.folder = tempfile.mkdtemp(prefix="pigeonhole-peers-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.data = f"{self.folder}/data"
        os.mkdir(self.data, 0o700)
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.data, account.pw_uid, account.pw_gid)
        initdb = ["initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        self._run_as_postgres(*initdb, "--locale=C.UTF-8")
        with open(f"{self.data}/postgresql.conf", "a") as file:
            file.write(f"port = {self.port}\nunix_socket_directories = '{self.data}'\n")
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        log = f"{self.data}/server.log"
        self._run_as_postgres("pg_ctl", "-D", self.data, "-l", log, "-w", "start")
        return self

    def __exit__(self, *_):
        processes.stop_all()
        self._run_as_postgres("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
        shutil.rmtree(self.folder)

    def _run_as_postgres(self, program, *arguments):
        command = [f"{self.bin}/{program}", *arguments]
        if os.getuid() == 0:
            ids = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
            command = ["setpriv", *ids, *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    def url(self, database, port=None):
        return f"postgres://postgres@127.0.0.1:{port or self.port}/{database}"

    def query(self, database, sql):
        """What psql prints: a line a row, columns separated by `|`."""
        command = [f"{self.bin}/psql", self.url(database), "-qAtX", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return done.stdout.strip()

    def create_empty(self, database):
        self.query("postgres", f"drop database if exists {database} with (force)")
        self.query("postgres", f"create database {database}")

    def copy(self, template, database):
        """Makes a database anew as a copy."""
        self.query("postgres", f"drop database if exists {database} with (force)")
        self.query("postgres", f"create database {database} template {template}")
        self.query("postgres", "checkpoint")

    def settle(self, database):
        """Leaves out of the next figure what the last step left behind."""
        self.query(database, "vacuum analyze")
        self.query(database, "checkpoint")

    def wal_position(self):
        return int(self.query("postgres", "select pg_current_wal_lsn() - '0/0'::pg_lsn"))

    def version(self):
        return self.query("postgres", "show server_version")
