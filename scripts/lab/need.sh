# What the scripts need and how it is installed: Debian packages, and a Rust toolchain that is new enough. Sourced by bash.
#
# As root where apt-get exists it is installed; otherwise one sentence says which command does it. Sources of packages
# that are not configured here (backports, security) are used for the toolchain alone, from a list that is not kept.

PATH=$PATH:/usr/sbin:/sbin # Debian keeps daemons and ip where an ordinary user's PATH may not look
[[ -n ${HOME:-} && -x $HOME/.cargo/bin/cargo ]] && ! command -v cargo >/dev/null && PATH=$PATH:$HOME/.cargo/bin

have() { command -v "$1" >/dev/null; }

# missing COMMAND:PACKAGE...: the packages whose command is not there. A command that is a path is a file.
missing() {
    local pair
    for pair; do
        case $pair in
        /*) [[ -e ${pair%%:*} ]] || echo "${pair#*:}" ;;
        *) have "${pair%%:*}" || echo "${pair#*:}" ;;
        esac
    done | sort -u
    # a linker without the C library's headers and start files is of no use
    [[ " $* " == *" cc:gcc "* ]] && ! echo 'int main(void){return 0;}' | cc -x c -o /dev/null - 2>/dev/null && echo libc6-dev
    return 0
}

may_install() { [[ $(id -u) == 0 ]] && have apt-get; }

_apt_updated=
# apt OPTION... : apt-get that asks nothing; what it prints is shown when it fails
_apt() {
    local out rc
    out=$(DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 \
        -o Acquire::Retries=3 "$@" 2>&1 </dev/null)
    rc=$?
    ((rc)) && grep -E '^(E:|W:|dpkg: error)' <<<"$out" | head -5 >&2
    return "$rc"
}

# apt_install PACKAGE...: those that cannot be had do not cost the others; 1 if one could not
apt_install() {
    local p rc=0
    (($#)) || return 0
    echo "installing: $*" >&2
    [[ -n $_apt_updated ]] || _apt update || true
    _apt_updated=yes
    _apt install --no-install-recommends "$@" && { hash -r; return 0; }
    for p; do _apt install --no-install-recommends "$p" || { echo "cannot install $p" >&2; rc=1; }; done
    hash -r
    return "$rc"
}

# ---- the toolchain

rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "${BASH_SOURCE[0]%/*}/../../Cargo.toml"; }
# at_least VERSION WANTED
at_least() { [[ $(printf '%s\n%s\n' "$2" "${1%%[+~-]*}" | sort -V | head -n 1) == "$2" ]]; }
rust_is() { { cargo --version 2>/dev/null && rustc --version 2>/dev/null; } | awk '{ print $2 }' | sort -V | head -n 1; }
rust_fits() { have cargo && have rustc && at_least "$(rust_is)" "$(rust_wanted)"; }

# The package of cargo that is new enough and its compiler, of those that apt knows with these options.
_rust_package() {
    local name version
    for name in cargo cargo-web; do
        version=$(apt-cache "$@" madison "$name" 2>/dev/null | awk '{ print $3 }' | sort -V | tail -n 1)
        if [[ -n $version ]] && at_least "$version" "$(rust_wanted)"; then
            echo "$name=$version ${name/cargo/rustc}"
            return 0
        fi
    done
    return 1
}

# A list of sources with the suites beside the configured one; prints apt's options for it.
_more_sources() {
    local dir=$1 uri suite
    read -r uri suite < <(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
        awk '$2 !~ /-/ && $3 == "main" && !/security/ { print $1, $2; exit }')
    [[ -n ${suite:-} ]] || return 1
    uri=${uri%/}
    mkdir -p "$dir/parts"
    cp /etc/apt/sources.list.d/*.{list,sources} "$dir/parts/" 2>/dev/null
    { cat /etc/apt/sources.list 2>/dev/null
      echo "deb $uri $suite-backports main"
      echo "deb ${uri/%\/debian//debian-security} $suite-security main"; } >"$dir/list"
    echo "-o Dir::Etc::SourceList=$dir/list -o Dir::Etc::SourceParts=$dir/parts"
}

# need_rust: installs a toolchain where none is new enough; 1 with one sentence where that cannot be done
need_rust() {
    local found dir options package
    rust_fits && return 0
    found="cargo is not installed"
    have cargo && found="the installed one is $(rust_is)"
    if ! may_install; then
        echo "$0: needs Rust $(rust_wanted) or later ($found): run \`scripts/setup\` as root, or install it from https://rustup.rs" >&2
        return 1
    fi
    [[ -n $_apt_updated ]] || _apt update || true
    _apt_updated=yes
    dir=$(mktemp -d) options=()
    if ! package=$(_rust_package); then
        read -ra options < <(_more_sources "$dir")
        ((${#options[@]})) && { _apt "${options[@]}" update || true; package=$(_rust_package "${options[@]}"); }
    fi
    if [[ -n $package ]]; then
        echo "installing: $package" >&2
        # The compiler of the same source: apt must not keep an older one because it is there.
        local version=${package#*=} compiler=${package##* }
        version=${version%% *}
        # shellcheck disable=SC2046
        _apt "${options[@]}" install --no-install-recommends "${package%% *}" \
            $(apt-cache "${options[@]}" madison "$compiler" | awk -v v="$version" '$3 == v { print $1 "=" v; exit }') \
            $(_rust_library "$compiler" "$version" "${options[@]}")
        hash -r
    fi
    rm -rf "$dir"
    rust_fits && return 0
    echo "$0: needs Rust $(rust_wanted) or later ($found; no package of this system is new enough): install it from https://rustup.rs" >&2
    return 1
}

# The standard library that a compiler depends on, at the same version.
_rust_library() {
    local compiler=$1 version=$2 p; shift 2
    for p in $(apt-cache "$@" show "$compiler=$version" 2>/dev/null | grep -m 1 ^Depends: | grep -oE 'libstd-rust-[a-z0-9.-]+'); do
        apt-cache "$@" madison "$p" | awk -v v="$version" '$3 == v { print $1 "=" v; exit }'
    done
}

# What building and scripts/demo need.
BUILD_NEEDS=(cc:gcc /etc/ssl/certs/ca-certificates.crt:ca-certificates)
DEMO_NEEDS=(python3:python3 ip:iproute2 unshare:util-linux mount:mount setpriv:util-linux)

# need COMMAND:PACKAGE...: installs what is missing; 1 with one sentence where it cannot
need() {
    local lacking
    mapfile -t lacking < <(missing "$@")
    ((${#lacking[@]})) || return 0
    may_install && apt_install "${lacking[@]}" && return 0
    may_install || echo "$0: not installed: ${lacking[*]}: run \`scripts/setup\` as root (Debian: apt-get install ${lacking[*]})" >&2
    return 1
}
