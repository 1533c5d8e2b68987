# shellcheck shell=bash
# What building, running and testing almanac needs on Debian and Ubuntu. Sourced by ./run, ./test and .ci/run. Silent
# where nothing is missing.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
java_min=17
rust_min=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")

# Where rustup puts its programs, also for a shell that has not been told yet.
PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s\n' "error: $1" "${@:2}" >&2; exit 1; }
have() { command -v "$1" >/dev/null; }

# install_missing [COMMAND:PACKAGE...]: installs what is missing for the build and the broker, and of those named.
install_missing() {
  local packages=() wanted
  have gcc || packages+=(gcc libc6-dev)
  # Nothing is written in C++, but librdkafka's configure insists on a compiler for it.
  have c++ || packages+=(g++)
  have make || packages+=(make)
  have pkg-config || packages+=(pkg-config)
  has_library libssl || packages+=(libssl-dev)
  has_library zlib || packages+=(zlib1g-dev)
  has_java || packages+=(openjdk)
  have mvn || packages+=(maven)
  have setpriv || packages+=(util-linux)
  if ! has_rust && ! have curl; then packages+=(curl ca-certificates); fi
  for wanted; do
    have "${wanted%%:*}" || packages+=("${wanted##*:}")
  done
  [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
  install_rust
}

has_library() { have pkg-config && pkg-config --exists "$1"; }

has_java() {
  local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || return
  [ "${version:-0}" -ge "$java_min" ]
}

# apt_install PACKAGE...: as root or by a sudo that asks nothing; where neither is possible, says what to type.
apt_install() {
  have apt-get || die "needed, but there is no apt-get here to install them: $*"
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo -n)
    sudo -n true 2>/dev/null || die "these packages are missing, and only root can install them" \
      "hint: run sudo apt-get install $(real_names "$@")"
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
  say "installing packages: $*"
  "${as_root[@]}" update >&2
  # shellcheck disable=SC2046 # names are words
  "${as_root[@]}" install --no-install-recommends $(real_names "$@") >&2
}

# real_names PACKAGE...: `openjdk` stands for the oldest Java that will do and that this release has.
real_names() {
  local name version names=()
  for name; do
    if [ "$name" = openjdk ]; then
      name=default-jdk-headless
      for version in 17 21 25; do
        if has_package "openjdk-$version-jdk-headless"; then name=openjdk-$version-jdk-headless; break; fi
      done
    fi
    names+=("$name")
  done
  echo "${names[*]}"
}

has_package() { apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [^(]'; }

# A cargo that builds this: rustup's, which follows rust-toolchain.toml, or another one that is new enough.
has_rust() {
  have rustup && return
  local version
  version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return
  [ -n "$version" ] && [ "$(printf '%s\n' "$rust_min" "$version" | sort -V | head -n 1)" = "$rust_min" ]
}

install_rust() {
  if ! has_rust; then
    if have cargo; then say "$(cargo --version) is too old, $rust_min is needed: getting rustup"; fi
    if have apt-get && has_package rustup; then
      apt_install rustup
    else
      say "installing rustup"
      curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --quiet --no-modify-path --default-toolchain none ||
        die "rustup could not be installed" "hint: install Rust $rust_min or later, and run this again"
    fi
  fi
  # A machine may have told rustup not to do this by itself.
  if have rustup && ! (cd "$root" && cargo --version) >/dev/null 2>&1; then
    say "installing Rust $rust_min"
    rustup toolchain install "$rust_min" --profile minimal --component clippy --component rustfmt >&2 ||
      die "Rust $rust_min could not be installed"
  fi
}
