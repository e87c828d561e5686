#!/bin/sh
# Runs a command in fresh network, mount and process namespaces, all of which end with it.
#
#   box.sh COMMAND...    77 and the reason where that is not possible
#   box.sh --why         prints the reason, nothing where it is possible
#
# As root the namespaces are ours; otherwise, and where root may not, a user namespace is tried as well. In a plain chroot
# the root is no mount point, and unshare(1) cannot make it private; what would be mounted later would then be seen
# outside. There a copy of the tree is mounted on a private mount (over /proc, seen by us alone) and becomes the root.
PATH=$PATH:/usr/sbin:/sbin

base="unshare --net --mount --pid --fork --kill-child=KILL"
bare='mount --make-private /proc && mount -n -t tmpfs box /proc && mkdir /proc/root && mount -n --rbind / /proc/root &&
mount -n --make-rprivate /proc/root && here=$PWD && cd /proc/root && exec chroot . sh -c "mount -t proc proc /proc && cd \"\$0\" && exec \"\$@\"" "$here" "$@"'

try() { "$@" sh -c 'mount -t tmpfs box /run && ip link set lo up' 2>&1 </dev/null; }
why=
first() {
    if [ "$(id -u)" = 0 ]; then
        why=$(try $base --mount-proc) && { way=own; return; }
        case $why in
        *"root filesystem propagation"*)
            reason=$(try $base --propagation unchanged sh -c "$bare" sh) && { way=bare; return; }
            why="$why; and in this chroot: $reason (it needs /proc: mount -t proc proc /proc)" ;;
        esac
    fi
    reason=$(try $base --mount-proc --map-root-user) && { way=user; return; }
    why="${why:+$why; }$reason"
    way=
}
for p in unshare ip mount; do
    command -v $p >/dev/null || why="$p is not installed"
done
[ -n "$why" ] || first
if [ "${1:-}" = --why ]; then
    [ -n "${way:-}" ] || echo "no network namespaces: $(echo "$why" | tr '\n' ' ')"
    exit 0
fi
case ${way:-} in
own) exec $base --mount-proc -- "$@" ;;
bare) exec $base --propagation unchanged -- sh -c "$bare" sh "$@" ;;
user) exec $base --mount-proc --map-root-user -- "$@" ;;
esac
echo "cannot make network namespaces: $(echo "$why" | tr '\n' ' ')" >&2
echo "needs root, or unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0)" >&2
exit 77
