"""The same comparison on Debian's kernel, in the emulated machine (../vm.py): there the kernel has IPVS.

The machine only runs the files and prints what each daemon did, packed, a line for each file; they are compared outside. One boot for
all files.
"""

import base64
import glob
import importlib.util
import json
import os
import py_compile
import shlex
import sys
import sysconfig
import tempfile
import zlib

from .. import vm

MODULES = ["veth", "bridge", "macvlan", "dummy", "overlay", "crc32c_generic", "nf_tables", "nft_compat", "nft_dup_ipv4", "nft_dup_ipv6", "nft_fwd_netdev",
           "nft_dup_netdev", "nft_counter", "nf_conntrack", "ip_vs", *("ip_vs_" + s for s in (
               "rr wrr lc wlc lblc lblcr dh sh sed nq fo ovf mh ftp pe_sip").split()), "ip_tunnel", "ipip", "ip_gre", "fou", "ipvlan", "vrf"]
PROGRAMS = ("bash dash ip nft nsenter unshare setpriv mount umount chroot hostname env sleep true cat grep ls mkdir "
            "false realpath ipvsadm keepalived").split()
MARK = "corpus-result "


def emit(name, pair):
    """A result as a line of the console."""
    packed = base64.b64encode(zlib.compress(json.dumps([name, pair]).encode(), 9)).decode()
    print(MARK + packed, flush=True)


def compiled(made):
    """Adds the byte code of each module: without it Python compiles its library again at each of its hundreds of starts."""
    with tempfile.TemporaryDirectory() as folder:
        for path in [p for p in made.files if p.endswith(".py")]:
            source, target = os.path.join(folder, "a.py"), os.path.join(folder, "a.pyc")
            with open(source, "wb") as f:
                f.write(made.files[path][1])
            try:
                py_compile.compile(source, target, "/" + path, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            except py_compile.PyCompileError:
                continue
            made.copy(target, "/" + importlib.util.cache_from_source(path))


def image(kernel, kalived, folder, names, arguments):
    """The root file system: programs, Python's library, these scripts, the files."""
    made = vm.base(kernel, MODULES)
    for name in PROGRAMS:
        path = vm.which(name)
        if path:
            made.program(path)
    made.program(os.path.realpath(vm.which("bash")), "/bin/bash")
    made.program(os.path.realpath(sys.executable), "/usr/bin/python3")
    stdlib = sysconfig.get_path("stdlib")
    for path in glob.glob(f"{stdlib}/*.py"):
        made.copy(path)
    for package in ("collections", "encodings", "json", "re", "importlib", "ctypes", "concurrent", "logging", "email", "lib-dynload", "multiprocessing"):
        if os.path.isdir(f"{stdlib}/{package}"):
            made.tree(f"{stdlib}/{package}", skip=("__pycache__",))
    for lib in glob.glob(f"{stdlib}/lib-dynload/*.so"):
        made.program(lib)
    for path in [os.path.join(vm.ROOT, "scripts/corpus-run"), os.path.join(vm.ROOT, "scripts/lab/box.sh"), *glob.glob(f"{vm.ROOT}/scripts/lab/*.py"),
                 *glob.glob(f"{vm.ROOT}/scripts/lab/corpus/*.py")]:
        made.copy(path, "/lab/" + os.path.relpath(path, vm.ROOT))
    for path in glob.glob(f"{vm.ROOT}/tests/ring/*.der"):
        made.copy(path, "/lab/" + os.path.relpath(path, vm.ROOT))
    compiled(made)
    made.program(kalived, "/lab/kalived")
    for path in glob.glob(f"{folder}/*.tsv") + [f"{folder}/{name}.conf" for name in names]:
        made.copy(path, "/lab/files/" + os.path.basename(path))
    made.directory("/var/run")
    made.add("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    made.add("/lab/main.sh", f"""
export PATH=/usr/bin:/usr/sbin:/bin:/sbin LC_ALL=C PYTHONHOME={sys.base_prefix}
uname -r
python3 -B /lab/scripts/corpus-run --emit --kalived /lab/kalived /lab/files {' '.join(shlex.quote(a) for a in arguments)}
exit 0
""")
    return made


def results(kalived, folder, names, arguments, seconds, each, memory=2048, mips=1000):
    """Boots it; `each` gets name and pair of each file as it comes, standard error the other lines."""
    kernel = vm.Kernel()

    def line(text):
        if text.startswith(MARK):
            name, pair = json.loads(zlib.decompress(base64.b64decode(text[len(MARK):])))
            each(name, pair)
        else:
            print(text, file=sys.stderr, flush=True)

    vm.boot(kernel, image(kernel, kalived, folder, names, arguments), memory, mips, seconds, each_line=line)
