# Runs one Postgres for as long as the program at the other end of our standard input lives.
#
# However that program ends, `kill -9` included, the kernel closes its end of the pipe: `read`
# fails, and we stop Postgres and remove what was temporary. Written for any POSIX sh (dash, bash
# 3.2, busybox).
#
# stdin: orders, one a line.
# stdout: a pipe only Postgres keeps open, so that its end tells that Postgres has ended.
# stderr: the lock file, kept open until the very end as descriptor 3: that is what holds the lock.
bin=$1 base=$2 durability=$3 remove=$4 on_parent_death=$5
shift 5 # what is left are settings for Postgres
unset SUPERVISOR

# A terminal's or a container's signals are for the program, whose end is ours.
trap '' HUP INT TERM
exec 3>&2 2>>"$base/log" || exit 1
cd "$base" || exit 1

postgres=
if [ -d data ] || {
    # Renamed when complete, so that a half-made directory is never taken for a database.
    rm -rf data.new
    "$bin/initdb" -D data.new -U postgres -A trust -E UTF8 --locale=C $durability </dev/null >&2 3>&- &&
        mv data.new data
}; then
    "$bin/postgres" -D "$base/data" "$@" </dev/null 3>&- &
    postgres=$!
fi
exec >&2

# Not reaped before `wait`, so its number cannot have passed to another process meanwhile.
end_postgres() {
    [ -n "$postgres" ] || return 0
    # sh makes background processes ignore INT and QUIT. Until Postgres has installed its handlers
    # a signal is lost, so signal until it has ended.
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
