#!/usr/bin/env bash
# Builds the engines that scripts run in: CPython, QuickJS and Lua as WebAssembly modules that know nothing but the doors of the host (door.h).
#
#   pdk/engine/make.sh [--install] [--check] [--pin] [python] [js] [lua]
#
# Engines lie in riposte/engines in the user's cache folder (or in RIPOSTE_ENGINES): sha256-HEX.wasm, and for each runtime a file, such as
# python@3.11, that holds the digest of its newest engine. The same sources and compilers give the same bytes; --check builds each twice, in
# different folders, and compares. Whatever was built is also held against the file digests beside this one, which tells what the same inputs gave on other
# machines: --pin writes it, after a check. What is missing on the machine is named, or, with --install, installed from Debian's packages.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
pdk=$(dirname "$here")
out=${RIPOSTE_ENGINES:-${XDG_CACHE_HOME:-$HOME/.cache}/riposte/engines}
install='' check='' pin=''
export LC_ALL=C TZ=UTC

# What an engine is compiled with: the program or file that must be there, and Debian's package.
tools=(clang-19:clang-19 wasm-ld-19:lld-19 llvm-ar-19:llvm-19 /usr/include/wasm32-wasi/stdio.h:wasi-libc
  /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a:libclang-rt-19-dev-wasm32 make:make xz:xz-utils)

die() {
  echo "$*" >&2
  exit 1
}

# need TOOL:PACKAGE …: sees to it that the tools are there.
need() {
  local missing=() t
  for t in "$@"; do
    command -v "${t%%:*}" >/dev/null || [ -e "${t%%:*}" ] || missing+=("${t##*:}")
  done
  ((${#missing[@]})) || return 0
  [ -n "$install" ] || die "engines: missing on this machine: ${missing[*]} (as root: apt-get install ${missing[*]})"
  echo "installing: ${missing[*]}"
  apt-get update -qq
  apt-get -o DPkg::Lock::Timeout=600 install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# fetch PACKAGE SUITE FILE SHA256: gets a file of the source of a package of Debian's, from where this machine gets its packages. The system's own
# lists stay as they are.
fetch() {
  local package=$1 suite=$2 file=$3 sum=$4 part=--tar-only apt site
  case $file in *.debian.tar.*) part=--diff-only ;; esac
  if ! echo "$sum  $out/sources/$file" | sha256sum --check --status 2>/dev/null; then
    need apt-get:apt
    apt=$(mktemp -d)
    mkdir -p "$apt"/{lists/partial,archives/partial} "$out/sources"
    site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | grep -v -- '-security$' | head -1 | cut -d' ' -f1)
    [ -n "$site" ] || die "engines: apt knows no place for packages; put $file (SHA-256 $sum) into $out/sources"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$apt/sources.list"
    (cd "$apt" && options=(-qq -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt" -o Dir::Etc::sourcelist="$apt/sources.list"
      -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root -o Acquire::Retries=3) &&
      apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only $part "$package" >/dev/null) || die "engines: $package of $suite cannot be fetched"
    echo "$sum  $apt/$file" | sha256sum --check --quiet || die "engines: $file is not the one that was chosen: its SHA-256 is not $sum"
    mv "$apt/$file" "$out/sources/$file"
    rm -rf "$apt"
  fi
}

# compile NAME TO: builds an engine in a scratch folder.
compile() (
  . "$pdk/$1/engine/engine.sh"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  mkdir source
  tar -xf "$out/sources/$file" -C source --strip-components=1
  if [ -n "$patches" ]; then
    tar -xf "$out/sources/$patches" debian/patches
    grep -v '^#' debian/patches/series | while read -r patch; do
      patch -d source -p1 -F0 <"debian/patches/$patch" >>log || die "engines: $patch does not fit: $(tail -n 1 log)"
    done
  fi
  cc=(clang-19 --target=wasm32-wasi -O2 -g0 -w "-ffile-prefix-map=$work=." "-ffile-prefix-map=$pdk=." "-I$here")
  if ! build >>log 2>&1; then
    tail -n 40 log >&2
    die "engines: $runtime cannot be built"
  fi
  "${cc[@]}" -std=c2x -Wall -Wextra -c "$here/door.c" -o door.o
  # The stack lies below everything else: to overflow it is a trap. Where there is a wasm-opt, clang would run it on what is optimised, and keeps the
  # section target_features for it: so that all machines make the same, there is no optimisation here, and the section is always kept.
  "${cc[@]}" -O0 -mexec-model=reactor "-Wl,--strip-all,--keep-section=target_features,--stack-first,-z,stack-size=$stack" -o engine.wasm engine.o door.o "${parts[@]}"
  # What it was made of: plugins take it over into their bill of materials.
  printf %s "${bill:-}" >bill
  [ ! -s bill ] || llvm-objcopy-19 --add-section=riposte.sbom=bill engine.wasm
  mv engine.wasm "$2"
  mv source/LICENSE "$2.LICENSE"
)

# inputs NAME: what an engine is made of, as one digest.
inputs() (
  . "$pdk/$1/engine/engine.sh"
  {
    echo "$sum $patches_sum"
    clang-19 --version
    dpkg-query -W wasi-libc libclang-rt-19-dev-wasm32 lld-19 2>/dev/null || true
    cd "$pdk" && find engine "$1/engine" -type f ! -name digests -print0 | sort -z | xargs -0 sha256sum
  } | sha256sum | cut -d' ' -f1
)

# compare RUNTIME INPUTS DIGEST: holds an engine against the one that was pinned, if that was made of the same.
compare() {
  local pinned
  pinned=$(awk -v runtime="$1" -v inputs="$2" '$1 == runtime && $2 == inputs {print $3}' "$here/digests")
  if [ -z "$pinned" ]; then
    echo "$1 NOT COMPARED with pdk/engine/digests, which has it of other sources or compilers (make engines-pin)"
  elif [ "$pinned" != "$3" ]; then
    die "engines: $1 is $3, but $pinned in pdk/engine/digests, where it was made of the same sources by the same compilers"
  fi
}

# repin RUNTIME INPUTS DIGEST: pins an engine.
repin() {
  local others
  others=$(grep -v "^$1 " "$here/digests" || true)
  printf '%s\n' "$others" "$1 $2 $3" | sed '/^$/d' | sort >"$here/digests"
}

make_engine() {
  local name=$1 runtime package suite file sum patches='' patches_sum='' stack bill part digest now
  . "$pdk/$name/engine/engine.sh"
  need "${tools[@]}" "${more[@]}"
  mkdir -p "$out"
  now=$(inputs "$name")
  if [ -z "$check" ] && [ -e "$out/$runtime" ] && [ "$now" = "$(cat "$out/$runtime.inputs" 2>/dev/null)" ]; then
    echo "$runtime up to date"
    compare "$runtime" "$now" "$(cat "$out/$runtime")"
    return
  fi
  fetch "$package" "$suite" "$file" "$sum"
  [ -z "$patches" ] || fetch "$package" "$suite" "$patches" "$patches_sum"
  part=$(mktemp -d "$out/.part-XXXXXX")
  trap "rm -rf '$part'" EXIT
  compile "$name" "$part/one"
  if [ -n "$check" ]; then
    compile "$name" "$part/two"
    cmp "$part/one" "$part/two" || die "engines: two builds of $runtime differ"
  fi
  digest=$(sha256sum "$part/one" | cut -d' ' -f1)
  mv "$part/one.LICENSE" "$out/$runtime.LICENSE"
  mv "$part/one" "$out/sha256-$digest.wasm"
  echo "sha256:$digest" >"$part/index"
  mv "$part/index" "$out/$runtime"
  echo "$now" >"$out/$runtime.inputs"
  rm -rf "$part"
  trap - EXIT
  echo "$runtime built${check:+ twice, the same bytes}, $(($(stat -c %s "$out/sha256-$digest.wasm") >> 10)) KiB, sha256:$digest"
  [ -z "$pin" ] || repin "$runtime" "$now" "sha256:$digest"
  compare "$runtime" "$now" "sha256:$digest"
}

names=()
for argument in "$@"; do
  case $argument in
  --install) install=yes ;;
  --check) check=yes ;;
  --pin) check=yes pin=yes ;;
  python | js | lua) names+=("$argument") ;;
  *) die "usage: $0 [--install] [--check] [--pin] [python] [js] [lua]" ;;
  esac
done
((${#names[@]})) || names=(js lua python)
for name in "${names[@]}"; do make_engine "$name"; done
