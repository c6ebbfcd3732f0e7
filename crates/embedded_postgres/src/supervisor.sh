# Runs one Postgres until the program at the other end of standard input ends.
#
# When that program ends, even by `kill -9`, the kernel closes its end of the pipe. Then `read`
# fails, and this script stops Postgres and removes the temporary directory. It runs in any POSIX sh
# (dash, bash 3.2, busybox).
#
# stdin: orders, one a line. stdout: a pipe that only Postgres keeps open. The program reads it to
# learn that Postgres has ended. stderr: the lock file. Descriptor 3 keeps it open until this script
# exits, which holds the lock.
bin=$1 base=$2 durability=$3 remove=$4 on_parent_death=$5
shift 5 # the remaining arguments are for Postgres
unset SUPERVISOR

# Terminals and containers signal the program. This script must outlive it, so it ignores these
# signals.
trap '' HUP INT TERM
exec 3>&2 2>>"$base/log" || exit 1
cd "$base" || exit 1

postgres=
if [ -d data ] || {
    # initdb writes to data.new, which is renamed when it is complete: an incomplete directory never
    # looks like a database.
    rm -rf data.new
    "$bin/initdb" -D data.new -U postgres -A trust -E UTF8 --locale=C $durability </dev/null >&2 3>&- &&
        mv data.new data
}; then
    "$bin/postgres" -D "$base/data" "$@" </dev/null 3>&- &
    postgres=$!
fi
exec >&2

# The kernel cannot reuse the process id of Postgres before `wait`.
end_postgres() {
    [ -n "$postgres" ] || return 0
    # sh makes background processes ignore INT and QUIT until Postgres installs its own handlers. An
    # earlier signal is lost, so repeat it until Postgres has ended.
    (cd / && while kill -s "$1" "$postgres"; do sleep 1; done) >/dev/null 2>&1 3>&- &
    repeater=$!
    wait "$postgres"
    kill -s KILL "$repeater" 2>/dev/null
    postgres=
}

while read -r order; do
    case $order in
    INT | QUIT) end_postgres "$order" ;;
    leave) exit 0 ;;
    esac
done
end_postgres "$on_parent_death"
if [ -n "$remove" ]; then
    cd / && rm -rf "$remove"
fi
