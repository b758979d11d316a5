# Shell functions of the test suite: what the macros of macros.at call, and
# what test bodies may use.  Read by bash, from atlocal, once for the suite.
#
# The suite runs in namespaces of its own (see tests/sandbox).  Within it, each
# test has
#
#   - its directory, the current one: databases, logs, pid files, outputs.  It
#     stays when the test fails;
#   - $OVS_RUNDIR, a short path in /tmp (Unix socket names are limited to 107
#     bytes), also reachable as `run' in its directory: sockets;
#   - $MACHINE, a network namespace that plays the host: its daemons and the
#     switch's ends of devices live there, so that two tests may both have a
#     bridge br0.  ip, tc, bridge, ethtool, ping and tcpdump act there; for other
#     programs say `in_machine COMMAND';
#   - further network namespaces, made by ns_add, that play containers;
#   - processes, which carry SLUICE_TEST in their environment, so that whatever
#     is left of them is found.

# ---------------------------------------------------------------- Basics -----

# machine_start: makes the current test's machine.  In the test's own shell.
machine_start () {
    OVS_RUNDIR=$(mktemp -d /tmp/sl.XXXXXX) || return 1
    ln -s "$OVS_RUNDIR" run
    trap 'machine_cleanup' 0
    trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
    SLUICE_TEST=${OVS_RUNDIR##*.}
    MACHINE=$SLUICE_TEST
    OVS_DBDIR=$PWD OVS_LOGDIR=$PWD OVS_SYSCONFDIR=$PWD
    ASAN_OPTIONS=log_path=$PWD/sanitizer:detect_leaks=1:fast_unwind_on_malloc=0
    UBSAN_OPTIONS=log_path=$PWD/sanitizer:print_stacktrace=1
    LSAN_OPTIONS=suppressions=$abs_srcdir/lsan.supp:print_suppressions=0
    export SLUICE_TEST OVS_RUNDIR OVS_DBDIR OVS_LOGDIR OVS_SYSCONFDIR
    OVS_CTL_TIMEOUT=$((10 * SLUICE_TEST_PATIENCE)) # Of ovs-vsctl and the like.
    OVS_SYSLOG_METHOD=null                         # The host's is not ours.
    export ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS
    export OVS_CTL_TIMEOUT OVS_SYSLOG_METHOD
    command ip netns add "$MACHINE" && ip link set lo up
}

# Runs at the test's end, also when it fails or is interrupted.
machine_cleanup () {
    local status=$? pid ns
    trap '' HUP INT TERM
    if test -f cleanup; then . ./cleanup; fi
    for pid in $(processes); do kill -9 "$pid" 2>/dev/null; done
    for ns in $(command ip netns list | cut -d' ' -f1); do
        case $ns in "$MACHINE"|"$MACHINE"-*) command ip netns del "$ns" ;; esac
    done
    rm -rf "$OVS_RUNDIR" run
    return $status
}

# on_exit: the commands on standard input are run at the test's end, before
# those of earlier calls.
on_exit () {
    cat - $(test -f cleanup && echo cleanup) > cleanup.new
    mv cleanup.new cleanup
}

# processes: prints the ids of this test's processes but its own shell's.
processes () {
    local file
    env -u SLUICE_TEST grep -slzx "SLUICE_TEST=$SLUICE_TEST" \
        /proc/[0-9]*/environ | while read -r file; do
        file=${file#/proc/}; echo "${file%/environ}"
    done
}

in_machine () { command ip netns exec "$MACHINE" "$@"; }

# in_ns NAMESPACE COMMAND...
in_ns () { local ns=$1; shift; command ip netns exec "$MACHINE-$ns" "$@"; }

# The tools that work on "this host" do so on the test's machine.
ip () {
    if test "$1" = netns; then command ip "$@"
    else command ip -n "$MACHINE" "$@"; fi
}
tc () { command tc -n "$MACHINE" "$@"; }
bridge () { command bridge -n "$MACHINE" "$@"; }
ethtool () { in_machine ethtool "$@"; }
ping () { in_machine ping "$@"; }
tcpdump () { in_machine tcpdump "$@"; }

# await [-t SECONDS] [COMMAND]: evaluates the shell COMMAND, or what stands on
# standard input, until it succeeds; 10 seconds unless told, multiplied by
# SLUICE_TEST_PATIENCE for sanitizers and busy machines.
: ${SLUICE_TEST_PATIENCE:=3}
await () {
    local seconds=10 deadline command
    if test "${1-}" = -t; then seconds=$2; shift 2; fi
    if test $# = 0; then command=$(cat); else command=$*; fi
    seconds=$((seconds * SLUICE_TEST_PATIENCE))
    deadline=$(($(date +%s%N) + seconds * 1000000000))
    while ! eval "$command" > await.out 2>&1; do
        if test "$(date +%s%N)" -gt $deadline; then
            echo "not within $seconds s: $command"
            echo "what it said last:"; cat await.out
            return 1
        fi >&2
        sleep 0.05
    done
}

# start NAME COMMAND...: starts COMMAND in the machine, in the background.  It
# writes to NAME.out, reads from the pipe NAME.in (where the test can write
# what it is told) and has its process id in NAME.pid.
start () {
    local name=$1; shift
    rm -f "$name.in" && mkfifo "$name.in" || return 1
    (exec ip netns exec "$MACHINE" "$@") <> "$name.in" > "$name.out" 2>&1 \
        5>&- 6>&- 7>&- 8>&- 9>&- &
    echo $! > "$name.pid"
    printf '%s\n' "$name" >> started
}

# start_in NAMESPACE NAME COMMAND...: the same in a namespace made by ns_add.
start_in () { local MACHINE=$MACHINE-$1; shift; start "$@"; }

running () { kill -0 "$(cat "$1.pid")" 2>/dev/null; }

# stop NAME [SIGNAL]: ends what `start NAME' began and waits for its end; fails
# if that takes 10 s.
stop () {
    kill -${2:-TERM} "$(cat "$1.pid")" 2>/dev/null
    await "! running $1" || { kill -9 "$(cat "$1.pid")"; return 1; }
    sed -i "/^$1\$/d" started
}

# stop_all: ends everything that `start' began, the last first.
stop_all () {
    local name status=0
    test -s started || return 0
    for name in $(tac started); do stop "$name" || status=1; done
    return $status
}

# ----------------------------------------------- Database and switch -----

# db_start [OPTION...]: starts the database server on $OVS_RUNDIR/db.sock with
# an empty Open_vSwitch database (or the one that is there).
db_start () {
    case $SLUICE_TEST_DB in
    ovsdb-server)
        test -f conf.db || in_machine ovsdb-tool create conf.db "$schema" || return 1
        in_machine ovsdb-server conf.db --detach --no-chdir --pidfile \
            --log-file --remote=punix:"$OVS_RUNDIR/db.sock" "$@" ;;
    sluice-db)
        test -f sluice.db || in_machine sluice-db create sluice.db "$schema" || return 1
        in_machine sluice-db sluice.db --detach --no-chdir --pidfile \
            --log-file --remote=punix:"$OVS_RUNDIR/db.sock" "$@" ;;
    esac && ovs-vsctl --no-wait init
}

# switch_start [OPTION...]: starts the switch on that database.
switch_start () {
    in_machine $SLUICE_TEST_SWITCH --detach --no-chdir --pidfile --log-file \
        -vvconn:file:dbg -vofproto_dpif:file:dbg "$@"
}

db_pid () { cat "$OVS_RUNDIR/$SLUICE_TEST_DB.pid"; }
switch_pid () { cat "$OVS_RUNDIR/$SLUICE_TEST_SWITCH.pid"; }

# appctl COMMAND...: what `ovs-appctl' does, on the switch.
appctl () {
    ovs-appctl -T 30 -t "$OVS_RUNDIR/$SLUICE_TEST_SWITCH.$(switch_pid).ctl" "$@"
}
db_appctl () {
    ovs-appctl -T 30 -t "$OVS_RUNDIR/$SLUICE_TEST_DB.$(db_pid).ctl" "$@"
}

# gone PID: there is no such process.
gone () { ! kill -0 "$1" 2>/dev/null; }

switch_stop () {
    local pid
    pid=$(switch_pid) && appctl exit --cleanup && await "gone $pid"
}
db_stop () { local pid; pid=$(db_pid) && db_appctl exit && await "gone $pid"; }

# switch_crash: kills the switch as a fault would.
switch_crash () {
    local pid
    pid=$(switch_pid) && kill -9 "$pid" && await "gone $pid"
}

# check_logs [SED-SCRIPT]: fails if a daemon logged a warning or an error, a
# sanitizer reported something, or a process is left over.  SED-SCRIPT deletes
# the lines that the test expects, e.g. '/no such device/d'.  Always expected is
# what a busy machine causes, a client that leaves before it has read all, a
# packet that comes while its port is being added, or is counted after that has
# gone, two threads that meet the same new flow, and a host without /etc/hosts.
check_logs () {
    local status=0 pid
    cat -- *.log 2>/dev/null \
        | sed -n '/|\(WARN\|ERR\|EMER\)|/p' \
        | sed '/timeval.*|WARN|\(Unreasonably long\|context switches\|faults\|disk\)/d
/ovs_rcu.*|WARN|blocked/d
/|WARN|unix#[0-9]*: connection dropped (\(Connection reset by peer\|Broken pipe\))/d
/|WARN|received packet on unknown port/d
/|WARN|receive tunnel port not found/d
/|WARN|upcall_cb failure: ukey installation fails/d
/|WARN|Conflicting ukey for flows/d
/|WARN|xlate_key failed (No such device)/d
/dns_resolve.*|WARN|Failed to read etc.hosts/d' | sed "${1-}" > unexpected
    if test -s unexpected; then
        echo "unexpected log lines:"; cat unexpected; status=1
    fi
    if ls sanitizer.* > /dev/null 2>&1; then
        echo "sanitizer reports:"; cat sanitizer.*; status=1
    fi
    for pid in $(processes); do
        echo "left over: $pid $(tr '\0' ' ' < /proc/$pid/cmdline)"; status=1
    done
    return $status
}

# ---------------------------------------------------- Namespaces, veth -----

# ns_add NAME...: network namespaces that play containers.
ns_add () {
    local ns
    for ns; do
        command ip netns add "$MACHINE-$ns" &&
        command ip -n "$MACHINE-$ns" link set lo up || return 1
    done
}

# veth_add DEVICE NAMESPACE [ADDRESS/LENGTH [MAC]]: a veth pair.  One end,
# DEVICE in the machine, is for the switch; the other, of the same name, is in
# NAMESPACE with ADDRESS.
veth_add () {
    local inner="command ip -n $MACHINE-$2"
    ip link add "$1" type veth peer name "$1" netns "$MACHINE-$2" &&
    if test -n "${4-}"; then $inner link set "$1" address "$4"; fi &&
    if test -n "${3-}"; then
        case $3 in
        *:*) $inner addr add "$3" dev "$1" nodad ;;
        *) $inner addr add "$3" dev "$1" ;;
        esac
    fi &&
    $inner link set "$1" up && ip link set "$1" up
}

# few_lost FILE: fails unless iperf3, whose output is FILE, received most of its
# datagrams.  Its socket holds those of 50 ms: on a busy machine it misses some.
few_lost () {
    sed -n 's/.*(\([0-9.e+-]*\)%).*receiver/\1/p' "$1" \
        | awk '$1 >= 30 { bad = 1 } END { exit bad || !NR }'
}

# ------------------------------------------------- vhost-user front-ends -----

# testpmd_start NAME [OPTION...] SOCKET[,DEVARG...]...: starts dpdk-testpmd with
# one virtio-user port per SOCKET, which is a guest's side of a vhost-user port.
# DEVARGs: server=1 (it listens and the switch connects), queues=N, packed_vq=1,
# mrg_rxbuf=0, in_order=0, queue_size=N, mac=...  OPTIONs begin with "--" and
# are testpmd's own.  Memory is ordinary pages of a memfd.  Its forwarding thread
# runs on the CPUs that TESTPMD_CPUS lists, else on any.
testpmd_start () {
    local name=$1 cpus=${TESTPMD_CPUS:-0-$(($(nproc) - 1))}
    local arg i=0 vdevs= options=; shift
    for arg; do
        case $arg in
        --*) options="$options $arg" ;;
        *) vdevs="$vdevs --vdev=net_virtio_user$i,path=$arg"; i=$((i + 1)) ;;
        esac
    done
    start "$name" stdbuf -oL dpdk-testpmd --lcores=0,1@$cpus --no-huge -m 128 \
        --no-pci --no-telemetry --no-shconf --file-prefix="$SLUICE_TEST$name" \
        $vdevs -- -i --total-num-mbufs=16384 $options
    testpmd_await "$name"
}

# testpmd_await NAME: waits for its first prompt.
testpmd_await () {
    await -t 20 "grep -q 'testpmd> ' $1.out || ! running $1" && running "$1"
}

# testpmd NAME COMMAND: has it execute COMMAND and prints what it says.
testpmd () {
    local name=$1 before; shift
    before=$(stat -c %s "$name.out")
    printf '%s\n' "$*" > "$name.in"
    await -t 20 "tail -c +$((before + 1)) $name.out | grep -q 'testpmd> '" || return 1
    # After the echo of the command and before the next prompt.
    tail -c +$((before + 1)) "$name.out" | tr -d '\r' \
        | sed '1d; s/testpmd> .*//; /^$/d'
}

# testpmd_stat NAME PORT COUNTER: prints one number of `show port stats'.
testpmd_stat () {
    testpmd "$1" "show port stats $2" | sed -n "s/.*$3: *\([0-9]*\).*/\1/p" | head -1
}

# ----------------------------------------------------------- Guests -----

# guest_start NAME SOCKET[,KEY=VALUE...]... : boots a QEMU guest whose NICs
# eth0, eth1, ... are vhost-user devices (see tests/guest/run for the keys) and
# waits until it executes commands.
guest_start () {
    local name=$1 spec nets=; shift
    for spec; do nets="$nets --net $spec"; done
    start "$name" "$abs_srcdir/guest/run" --image "$abs_builddir/guest" \
        --name "$name" --agent "$OVS_RUNDIR/$name.agent" \
        --qmp "$OVS_RUNDIR/$name.qmp" $nets &&
    guest "$name" true
}

# guest [-t SECONDS] NAME COMMAND: executes a shell command in the guest.
guest () {
    local seconds=60
    if test "$1" = -t; then seconds=$2; shift 2; fi
    local name=$1; shift
    python3 "$abs_srcdir/guest/exec" -t $((seconds * SLUICE_TEST_PATIENCE)) \
        "$OVS_RUNDIR/$name.agent" "$*"
}

# iperf3_serve NAME N: starts N servers of iperf3 in the guest, on ports 1 to N,
# each for one client: between two of them a server doesn't listen for a while.
iperf3_serve () {
    guest "$1" 'for port in $(seq '"$2"'); do iperf3 -s -1 -D -p $port; done' &&
    await "guest $1 'cat /proc/net/tcp /proc/net/tcp6' \
           | grep -c ':000[1-9] .* 0A ' | grep -qx $2"
}

# ------------------------------------------------------ More hosts, OVN -----

# on_host HOST COMMAND...: executes COMMAND on a further host: with HOST's
# namespace as $MACHINE and its own run directory and databases, in ./HOST.
# So `on_host h1 db_start', `on_host h1 ovs-vsctl show', `on_host h1 ns_add a'.
on_host () {
    local -x MACHINE=$MACHINE-$1 OVS_RUNDIR=$OVS_RUNDIR/$1
    local -x OVN_RUNDIR=$OVS_RUNDIR OVS_LOGDIR=$PWD/$1 OVN_LOGDIR=$PWD/$1
    local -x OVS_DBDIR=$PWD/$1 OVS_SYSCONFDIR=$PWD/$1
    (cd "$1" && shift && "$@")
}

# host_add NAME...: further hosts.
host_add () {
    local host
    for host; do
        mkdir "$host" "$OVS_RUNDIR/$host" && ns_add "$host" || return 1
    done
}

# ovn_start: OVN's databases, in ./nb.db and ./sb.db on $OVS_RUNDIR/ovn.sock,
# and its northd.
ovn_start () {
    local name
    export OVN_RUNDIR=$OVS_RUNDIR OVN_NB_DB=unix:$OVS_RUNDIR/ovn.sock
    export OVN_SB_DB=$OVN_NB_DB
    for name in nb sb; do
        ovsdb-tool create $name.db "$foreign/usr/share/ovn/ovn-$name.ovsschema" \
            || return 1
    done
    start ovn-db ovsdb-server nb.db sb.db --remote=p$OVN_NB_DB \
        --unixctl="$OVS_RUNDIR/ovn-db.ctl"
    await ovn-nbctl --no-leader-only init && await ovn-sbctl --no-leader-only init &&
    start northd ovn-northd --unixctl="$OVS_RUNDIR/northd.ctl"
}
