#!/usr/bin/env bash
# Gets the compilers for plugins in Rust, C and AssemblyScript that this machine lacks, and the Lua that unit tests of plugins run in; what is
# there is left alone. CI needs all of them, a machine of a plugin's author only those of its language, and whoever has rustup or npm needs none
# of this.
#
#   pdk/toolchains.sh [rust] [c] [assemblyscript] [lua]
#
# Debian's packages are installed where this runs as root. The rest goes to riposte/toolchains in the user's cache folder, where the builders look.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/riposte/toolchains

packages() {
  local missing=() p
  for p in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing+=("$p")
  done
  ((${#missing[@]})) || return 0
  echo "installing: ${missing[*]}"
  apt-get update -qq
  apt-get -o DPkg::Lock::Timeout=600 install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# into FOLDER COMMAND …: has the command fill a folder, which is then there as a whole or not at all.
into() {
  local folder=$1 part
  shift
  [ -d "$folder" ] && return 0
  echo "making $folder"
  mkdir -p "$cache"
  part=$(mktemp -d "$cache/.part-XXXXXX")
  trap 'rm -rf "$part"' EXIT
  "$@" "$part"
  mv -T "$part" "$folder" 2>/dev/null || [ -d "$folder" ] # somebody else was faster
  trap - EXIT
  rm -rf "$part"
}

# Debian's Rust has no standard library for WebAssembly, but its sources, with all that they depend on: so that is compiled here, once.
rust_sysroot() {
  local work=$1/work target=wasm32-unknown-unknown vendor=/usr/lib/rustlib/src/rust/library/vendor
  mkdir -p "$work/src" "$work/.cargo" "$1/lib/rustlib/$target/lib"
  printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/Cargo.toml"
  printf '#![no_std]\n' >"$work/src/lib.rs"
  printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "%s"\n' "$vendor" >"$work/.cargo/config.toml"
  (cd "$work" && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes \
    /usr/bin/cargo build --quiet --release --offline -Zbuild-std=std,panic_abort --target "$target")
  cp "$work/target/$target/release/deps/"*.rlib "$1/lib/rustlib/$target/lib/"
  rm -f "$1/lib/rustlib/$target/lib/"libempty-*
  rm -rf "$work"
}

rust() {
  if command -v rustc >/dev/null && [ -n "$(find "$(rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib" -name 'libcore-*.rlib' 2>/dev/null)" ]; then
    return
  fi
  packages rustc-web cargo-web rust-web-src lld-19
  into "$cache/rust-$(/usr/bin/rustc --version | cut -d' ' -f2)" rust_sysroot
}

c() { packages clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32; }

asc_modules() { cp "$here/assemblyscript/toolchain/"package*.json "$1/" && (cd "$1" && npm ci --silent --ignore-scripts); }

assemblyscript() {
  command -v npm >/dev/null || packages nodejs npm
  into "$cache/assemblyscript-$(sed -n 's/.*"assemblyscript": "\([0-9.]*\)".*/\1/p' "$here/assemblyscript/toolchain/package.json")" asc_modules
}

lua() { command -v lua5.4 >/dev/null || packages lua5.4; }

(($#)) || set -- rust c assemblyscript lua
for language in "$@"; do
  case $language in
  rust | c | assemblyscript | lua) "$language" ;;
  *) echo "usage: $0 [rust] [c] [assemblyscript] [lua]" >&2 && exit 2 ;;
  esac
done
