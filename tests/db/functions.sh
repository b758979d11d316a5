# Shell functions of the database tests, beside those of tests/functions.sh.
#
# Within these tests, ovsdb-server and ovsdb-tool are ours by those names, as
# a host has them that was moved over; genuine_server and genuine_tool are
# Debian's.  SLUICE_TEST_GENUINE=yes makes all of them Debian's: what a test
# expects of ours is what it says then, too.

SLUICE_TEST_DB=ovsdb-server

# db_programs: makes the programs' names.
db_programs () {
    genuine_server=/usr/sbin/ovsdb-server genuine_tool=/usr/bin/ovsdb-tool
    mkdir -p bin || return 1
    if test "${SLUICE_TEST_GENUINE-}" = yes; then
        ln -s $genuine_server bin/ovsdb-server
        ln -s $genuine_tool bin/ovsdb-tool
    else
        ln -s "$(command -v sluice-db)" bin/ovsdb-server
        ln -s "$(command -v sluice-db)" bin/ovsdb-tool
    fi
    PATH=$PWD/bin:$PATH
    server=unix:$OVS_RUNDIR/db.sock
}

# ours: fails where the genuine programs are tested and ours does more.
ours () { test "${SLUICE_TEST_GENUINE-}" != yes; }

# serve [FILE] [OPTION...]: starts the server on FILE (conf.db, if there is no
# argument), and on $server.
serve () {
    test $# != 0 || set -- conf.db
    in_machine ovsdb-server --detach --no-chdir --pidfile --log-file \
        --remote=punix:"$OVS_RUNDIR/db.sock" "$@"
}

# crash: kills the server as a fault would.
crash () { local pid; pid=$(db_pid) && kill -9 "$pid" && await "gone $pid"; }

# talk: see tests/db/talk.py.
talk () { python3 "$abs_srcdir/db/talk.py" "$OVS_RUNDIR/db.sock"; }

# transact OPERATION...: one transaction on the served database, which is the
# first that isn't _Server; UUIDs become <0>, <1>, ...
transact () {
    local all= operation database
    for operation; do all="$all, $operation"; done
    database=$(ovsdb-client list-dbs "$server" | grep -v '^_Server$' | head -1)
    echo "transact [\"$database\"$all]" | tr '\n' ' ' | talk
}

# symbolic: a filter that replaces UUIDs by <uuid>.
symbolic () {
    local h='[0-9a-f]\{4\}'
    sed "s/$h$h-$h-$h-$h-$h$h$h/<uuid>/g"
}

# python: a Python that has Debian's python3-openvswitch.
python () {
    if python3 -c 'import ovs' 2>/dev/null; then python3 "$@"
    else /usr/bin/python3 "$@"; fi
}

# listening_port: the number of the TCP port that the server opened last.
listening_port () {
    sed -n 's/.*listening on port \([0-9]*\)$/\1/p' ovsdb-server.log \
        | tail -1 | grep .
}

# records FILE: how many records an OVSDB log has.
records () { grep -a -c '^OVSDB JSON' "$1"; }
