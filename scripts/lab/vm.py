"""A machine whose clock counts instructions: Debian's kernel package in qemu's software emulation, one processor.

`boot()` builds an initramfs of the files it is given, boots the kernel with it, runs one shell script inside and returns
what the script printed. With `-icount`, time in the machine passes with the instructions executed, and idle time costs
nothing. Nothing of the host's load, speed or number of processors is visible inside; the same image gives the same output.

Not in it: caches, memory latency, interrupts of real devices, a second processor. What it measures is the program's and
the kernel's own work. Needs qemu-system-x86, busybox, kmod, dpkg and apt-get; the kernel package is downloaded once.
"""

import glob
import lzma
import os
import shutil
import stat
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QEMU = "qemu-system-x86_64"
#: program: Debian package
NEEDED = {QEMU: "qemu-system-x86", "busybox": "busybox-static", "depmod": "kmod", "dpkg-deb": "dpkg",
          "apt-get": "apt", "ip": "iproute2", "dash": "dash", "cc": "gcc"}
#: `-icount shift=N`: one instruction takes 2^N ns.
SHIFT = {1000: 0, 500: 1, 250: 2}
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Unavailable(Exception):
    """The machine cannot be had here; the text says why."""


def which(program):
    """Path of a program, also from the directories an ordinary user's PATH leaves out."""
    return shutil.which(program, path=_PATH)


def cache():
    """Where the kernel package and the compiled tap are kept: beside what cargo built."""
    target = os.environ.get("CARGO_TARGET_DIR") or os.path.join(ROOT, "target")
    path = os.path.join(target, "lab")
    os.makedirs(path, exist_ok=True)
    return path


def missing():
    """Programs that are not installed, as package names."""
    return sorted({package for program, package in NEEDED.items() if not which(program)})


def _run(*cmd, cwd=None, seconds=300):
    done = subprocess.run(cmd, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, "PATH": _PATH, "LC_ALL": "C"})
    if done.returncode:
        raise Unavailable(f"{' '.join(cmd[:3])}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


class Kernel:
    """Debian's kernel package, unpacked, with its module index."""

    def __init__(self):
        lacking = missing()
        if lacking:
            raise Unavailable(f"not installed: {' '.join(lacking)} (as root: apt-get install {' '.join(lacking)})")
        self.base = os.path.join(cache(), "kernel")
        if not glob.glob(f"{self.base}/lib/modules/*/modules.dep"):
            self._fetch()
        self.version = os.path.basename(glob.glob(f"{self.base}/lib/modules/*")[0])
        self.modules = f"{self.base}/lib/modules/{self.version}"
        self.image = f"{self.base}/boot/vmlinuz-{self.version}"
        self.needs = {}
        with open(f"{self.modules}/modules.dep") as f:
            for line in f:
                name, _, needs = line.partition(":")
                self.needs[_module(name)] = (name, [_module(n) for n in needs.split()])

    def _fetch(self):
        depends = _run("apt-cache", "depends", "linux-image-amd64")
        package = next((w.split()[-1] for w in depends.splitlines() if "Depends: linux-image-" in w), None)
        if not package:
            raise Unavailable("apt-cache knows no linux-image-amd64 (run apt-get update first)")
        with tempfile.TemporaryDirectory(dir=cache()) as new:
            os.chmod(new, 0o755)
            # As root apt wants to download as its own user, which cannot write here.
            _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=new, seconds=600)
            deb = glob.glob(f"{new}/*.deb")[0]
            _run("dpkg-deb", "-x", deb, f"{new}/kernel")
            usr = f"{new}/kernel/usr/lib/modules"  # where newer packages put them
            if os.path.isdir(usr) and not os.path.exists(f"{new}/kernel/lib"):
                os.makedirs(f"{new}/kernel/lib")
                os.rename(usr, f"{new}/kernel/lib/modules")
            _run("depmod", "-b", f"{new}/kernel", os.listdir(f"{new}/kernel/lib/modules")[0])
            shutil.rmtree(self.base, ignore_errors=True)
            os.rename(f"{new}/kernel", self.base)

    def load_order(self, names):
        """Files of these modules and of what they need, each after what it needs; what is built in has none."""
        order = []

        def add(name):
            if name not in self.needs:
                return
            path, needs = self.needs[name]
            for n in reversed(needs):
                add(n)
            if path not in order:
                order.append(path)

        for name in names:
            add(name)
        return order

    def module(self, path):
        """A module's bytes, as the kernel takes them."""
        with open(f"{self.modules}/{path}", "rb") as f:
            data = f.read()
        return lzma.decompress(data) if path.endswith(".xz") else data


def _module(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


class Image:
    """The files of an initramfs, by path inside, and the archive they make (cpio, format newc)."""

    def __init__(self):
        self.files = {}  # path: (mode, bytes)

    def add(self, path, data, mode=0o644):
        """A regular file."""
        if isinstance(data, str):
            data = data.encode()
        self.files[path.lstrip("/")] = (stat.S_IFREG | mode, data)

    def link(self, path, to):
        """A symbolic link."""
        self.files[path.lstrip("/")] = (stat.S_IFLNK | 0o777, to.encode())

    def directory(self, path, mode=0o755):
        """An empty directory."""
        self.files[path.strip("/")] = (stat.S_IFDIR | mode, b"")

    def copy(self, path, to=None):
        """A file of this machine, under its own path unless told another."""
        with open(path, "rb") as f:
            self.add(to or path, f.read(), stat.S_IMODE(os.stat(path).st_mode))

    def program(self, path, to=None):
        """A program with the libraries that it is linked to."""
        self.copy(path, to)
        listed = subprocess.run(["ldd", path], stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
        for word in listed.split():
            if word.startswith("/") and os.path.isfile(word):
                self.copy(word)

    def tree(self, path, skip=()):
        """A directory with what is in it."""
        for folder, inside, names in os.walk(path):
            inside[:] = [d for d in inside if d not in skip]
            for name in names:
                full = os.path.join(folder, name)
                if os.path.isfile(full):
                    self.copy(full)

    def write(self, path):
        """The archive. Parents come before what is in them; times are zero, so that equal files give equal images."""
        for name in list(self.files):
            parent = os.path.dirname(name)
            while parent and parent not in self.files:
                self.directory(parent)
                parent = os.path.dirname(parent)
        with open(path, "wb") as f:
            for number, name in enumerate(sorted(self.files), 1):
                mode, data = self.files[name]
                _entry(f, number, mode, name, data)
            _entry(f, 0, 0, "TRAILER!!!", b"")


def _entry(f, number, mode, name, data):
    word = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(word), 0)
    head = b"070701" + b"".join(b"%08x" % n for n in fields) + word
    f.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


INIT = """#!/bin/sh
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs -o mode=755 run /run; mount -t tmpfs tmp /tmp
mkdir -p /dev/pts /dev/shm /run/tmp; mount -t devpts pts /dev/pts
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/
echo 3 >/proc/sys/kernel/printk
for m in $(cat /lab/modules); do insmod /lab/$m || echo "insmod $m failed"; done
ip link set lo up
cd /lab && sh ./main.sh; echo "machine: exit $?"
poweroff -f
"""


def base(kernel, modules):
    """What every image holds: a shell, ip, the modules, the first process."""
    image = Image()
    busybox = which("busybox")
    image.program(busybox, "/bin/busybox")
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True).stdout.split():
        if name not in ("busybox", "sh", "ip"):
            image.link(f"/bin/{name}", "busybox")
    # Not busybox's shell: that one runs its own `ip` before ours.
    image.program(os.path.realpath(which("dash")), "/bin/dash")
    image.link("/bin/sh", "dash")
    image.program(os.path.realpath(which("ip")), "/bin/ip")
    image.link("/usr/bin/env", "/bin/env")
    for d in ("proc", "sys", "dev", "run", "tmp", "etc", "sbin", "usr/sbin", "root"):
        image.directory(d)
    image.add("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    image.add("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
    order = kernel.load_order(modules)
    for path in order:
        image.add(f"/lab/{_module(path)}.ko", kernel.module(path))
    image.add("/lab/modules", "".join(f"{_module(p)}.ko\n" for p in order))
    image.add("/init", INIT, 0o755)
    return image


def boot(kernel, image, memory=512, mips=500, seconds=600, each_line=None):
    """Runs it to its end; the lines of its console. `seconds` of the host's time are a guard against a hang."""
    with tempfile.NamedTemporaryFile(dir=cache(), prefix="image-") as f:
        image.write(f.name)
        command = [
            which(QEMU), "-accel", "tcg,thread=single", "-icount", f"shift={SHIFT[mips]},sleep=off,align=off",
            "-cpu", "max", "-smp", "1", "-m", str(memory), "-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
            "-rtc", "base=2026-01-01,clock=vm",
            # The processor's random numbers, by which the kernel lays out memory and seeds its own.
            "-seed", "1", "-kernel", kernel.image, "-initrd", f.name,
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init tsc=reliable random.trust_cpu=on",
        ]
        lines = []
        # It ends with us, also when we are killed.
        owned = lambda signal: ["setpriv", "--pdeathsig", signal] if which("setpriv") else []
        proc = subprocess.Popen([*owned("TERM"), "timeout", "--kill-after=5", str(seconds), *owned("KILL"), *command], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        try:
            for line in proc.stdout:
                lines.append(line.rstrip())
                if each_line:
                    each_line(lines[-1])
        finally:
            proc.terminate()
            proc.wait()
    if not any(line.startswith("machine: exit 0") for line in lines):
        raise RuntimeError("the machine did not end well:\n" + "\n".join(lines[-25:]))
    return lines
