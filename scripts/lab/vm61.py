"""Runs the namespace tests (tests/kernel) on Debian's kernel package, in the emulated machine.

usage: vm61.py [--jobs N] [--mips N] [--limit S] TEST_PROGRAM KALIVED [NAME...]

TEST_PROGRAM and KALIVED are what `cargo test --no-run` built. Without names: those of vm61.txt. Prints what the test program
prints, and one `test result:` line. 77 where the machine cannot be had. Read first: vm.py.
"""

import argparse
import concurrent.futures
import glob
import os
import re
import sys
import sysconfig

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab import vm  # noqa: E402

MODULES = ["veth", "bridge", "macvlan", "dummy", "crc32c_generic", "nf_tables", "nft_compat", "nft_limit", "nft_counter",
           "nft_meta_bridge", "nf_log_syslog", "sch_netem", "ifb", "af_packet_diag", "ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_lc",
           "ip_vs_wlc", "ip_vs_sh", "ip_vs_mh", "ip_tunnel", "ipip", "ipvlan", "vrf", "8021q", "bonding", "mpls_router",
           "mpls_iptunnel", "ila"]
#: What the tests call beside kalived.
PROGRAMS = ("bash dash ip nft nsenter unshare setpriv prlimit timeout tcpdump sysctl kill ps killall env sleep cat "
            "mount umount touch mkdir mv cp rm ln chmod chown ls tr cut sort grep sed awk head tail date id dd true false printf "
            "test expr mkfifo readlink stat wc uname chrt arping ndisc6 ipvsadm keepalived").split()


def image(kernel, program, kalived, names, threads):
    """Our root file system: the tests' tools under their own paths."""
    made = vm.base(kernel, MODULES)
    for name in PROGRAMS:
        path = vm.which(name)
        if path:
            made.program(path)  # through a symbolic link: its content under the name that is called
    made.program(os.path.realpath(vm.which("bash")), "/bin/bash")
    made.program(os.path.realpath(sys.executable), "/usr/bin/python3")
    stdlib = sysconfig.get_path("stdlib")
    for path in glob.glob(f"{stdlib}/*.py"):
        made.copy(path)
    for package in ("collections", "encodings", "json", "re", "importlib", "email", "lib-dynload", "ctypes", "asyncio"):
        if os.path.isdir(f"{stdlib}/{package}"):
            made.tree(f"{stdlib}/{package}", skip=("__pycache__",))
    for lib in glob.glob(f"{stdlib}/lib-dynload/*.so"):
        made.program(lib)
    made.program(program)
    made.program(kalived)
    made.program("/usr/sbin/nologin") if os.path.exists("/usr/sbin/nologin") else None
    made.add("/lab/main.sh", f"""
chmod 755 /; mkdir -p /run/tmp /var/run; export TMPDIR=/run/tmp RUST_BACKTRACE=0 LC_ALL=C PYTHONHOME={sys.base_prefix}
for f in all default; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done
uname -r
{program} --exact --test-threads {threads} {' '.join(names)} 2>&1
exit 0
""")
    made.directory("/var/run")
    return made


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("program")
    p.add_argument("kalived")
    p.add_argument("names", nargs="*")
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    p.add_argument("--mips", type=int, default=1000, choices=sorted(vm.SHIFT))
    p.add_argument("--limit", type=int, default=2400, help="seconds of this machine's time for one job; a loaded host needs several times what an idle one does")
    p.add_argument("--threads", type=int, default=2, help="tests at a time in one machine")
    args = p.parse_args()
    # The tests start the daemon by the path that cargo built it under, and / is their directory.
    args.program, args.kalived = os.path.abspath(args.program), os.path.abspath(args.kalived)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vm61.txt")) as f:
        chosen = args.names or [line.strip() for line in f if line.strip() and not line.startswith("#")]
    listed = os.popen(f"'{args.program}' --list --format terse").read()
    paths = {line.split(": ")[0].rsplit("::", 1)[-1]: line.split(": ")[0] for line in listed.splitlines() if ": test" in line}
    unknown = [n for n in chosen if n not in paths]
    if unknown:
        print(f"vm61: no such test: {', '.join(unknown)}", file=sys.stderr)
        return 2
    try:
        kernel = vm.Kernel()
    except vm.Unavailable as e:
        print(f"vm61: {e}", file=sys.stderr)
        return 77
    print(f"Linux {kernel.version}, {len(chosen)} tests", flush=True)
    shares = [chosen[i::args.jobs] for i in range(args.jobs)]

    def one(share, ended):
        def show(line):
            if re.match(r"(test |skipped: |thread |assertion|gave up|  )", line) and "test result" not in line:
                print(line, flush=True)
            ended.extend(re.findall(r"^test (\S+) \.\.\. ok", line))
        made = image(kernel, args.program, args.kalived, [paths[n] for n in share], args.threads)
        lines = vm.boot(kernel, made, 1536, args.mips, args.limit, each_line=show)
        return next((line for line in lines if line.startswith("test result:")), "none"), lines

    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for share, ended, done in [(s, e, pool.submit(one, s, e)) for s, e in ((s, []) for s in shares if s)]:
            try:
                result, lines = done.result()
                found = re.search(r"(\d+) passed; (\d+) failed", result)
            except RuntimeError as e:
                found, lines = None, str(e).splitlines()
            if not found:
                # Killed, in most cases because its time was up: what passed before that has passed.
                left = [n for n in share if paths[n] not in ended]
                print(f"the machine ended early, without {', '.join(left)}:\n" + "\n".join(lines[-30:]))
            passed += int(found[1]) if found else len(share) - len(left)
            failed += int(found[2]) if found else len(left)
            if found and int(found[2]):
                begin = next((i for i, line in enumerate(lines) if line == "failures:"), len(lines))
                print("\n".join(lines[begin:][:200]))
    print(f"test result: {'ok' if not failed else 'FAILED'}. {passed} passed; {failed} failed; 0 ignored")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
