# Read by every script that runs in the laboratory's machine: cables, hosts, and either daemon started and ended.
# $DAEMON is kalived or keepalived; configurations lie in /lab. keepalived runs without its checker unless $KEEPALIVED is set, empty.
# shellcheck shell=sh

# One cable per argument, from the machine to the namespace "peer". An argument is the name of this end.
cables() {
    ip netns add peer
    ip -n peer link set lo up
    n=0
    for dev; do
        n=$((n + 1))
        ip link add "$dev" type veth peer name "tap$n"
        ip link set "tap$n" netns peer
        ip addr add "10.77.$n.1/24" dev "$dev"
        ip link set "$dev" up
        ip -n peer link set "tap$n" up
    done
    sleep 1
}

# start CONFIG [NAMESPACE]: the daemon, in the background; its number in $PID, its log in /tmp/log.CONFIG
start() {
    run=/run/$1
    mkdir -p "$run"
    case $DAEMON in
    kalived) set -- "$1" "$2" kalived -n -l -f "/lab/$1" -p "$run/pid" ;;
    *) set -- "$1" "$2" keepalived -n -l -G ${KEEPALIVED--P} -f "/lab/$1" -p "$run/pid" -r "$run/vrrp" -c "$run/check" ;;
    esac
    log=/tmp/log.$1 ns=$2
    shift 2
    if [ -n "$ns" ]; then ip netns exec "$ns" "$@" >"$log" 2>&1 & else "$@" >"$log" 2>&1 & fi
    PID=$!
}

# A process and all below it.
family() {
    echo "$1"
    for child in $(cat "/proc/$1/task/$1/children"); do family "$child"; done
}

# Proportional memory of these processes in KiB; what they share counts once.
memory() {
    for p; do grep ^Pss: "/proc/$p/smaps_rollup"; done | awk '{ s += $2 } END { printf "@ {\"pss_kib\":%d}\n", s }'
}

# Number of open descriptors of these processes.
descriptors() { for p; do ls "/proc/$p/fd"; done | wc -l; }

# The end of a log, where a measurement shows that something is wrong.
tell() { tail -n "${2:-5}" "/tmp/log.$1" | cut -c1-200; }
