#!/usr/bin/env bash
# Builds the engines that scripts run in: CPython, QuickJS and Lua as WebAssembly modules that know nothing but the doors of the host (door.h). Others are
# built when they are named: interpreters that somebody else has compiled, such as Perl, which are joined with a module of ours.
#
#   pdk/engine/make.sh [--install] [--check] [--pin] [NAME …]
#
# An engine's name is that of the folder in pdk whose engine/engine.sh says what it is made of.
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
# lists stay as they are. The suite npm means a package of npm's, which is not a source.
fetch() {
  local package=$1 suite=$2 file=$3 sum=$4 part=--tar-only fresh site
  case $file in *.debian.tar.*) part=--diff-only ;; esac
  if echo "$sum  $out/sources/$file" | sha256sum --check --status 2>/dev/null; then
    return
  elif [ "$suite" = npm ]; then
    need npm:npm
    fresh=$(mktemp -d)
    (cd "$fresh" && npm pack --silent "$package" >/dev/null) || die "engines: $package cannot be fetched from npm"
  else
    need apt-get:apt
    fresh=$(mktemp -d)
    mkdir -p "$fresh"/{lists/partial,archives/partial}
    site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | grep -v -- '-security$' | head -1 | cut -d' ' -f1)
    [ -n "$site" ] || die "engines: apt knows no place for packages; put $file (SHA-256 $sum) into $out/sources"
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" >"$fresh/sources.list"
    (cd "$fresh" && options=(-qq -o Dir::State::lists="$fresh/lists" -o Dir::Cache="$fresh" -o Dir::Etc::sourcelist="$fresh/sources.list"
      -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root -o Acquire::Retries=3) &&
      apt-get "${options[@]}" update && apt-get "${options[@]}" source --download-only $part "$package" >/dev/null) || die "engines: $package of $suite cannot be fetched"
  fi
  echo "$sum  $fresh/$file" | sha256sum --check --quiet || die "engines: $file is not the one that was chosen: its SHA-256 is not $sum"
  mkdir -p "$out/sources"
  mv "$fresh/$file" "$out/sources/$file"
  rm -rf "$fresh"
}

# link_program and link_interpreter make engine.wasm of engine.o and door.o, and of an interpreter. The stack lies below everything else: to overflow it is
# a trap. Where there is a wasm-opt, clang would run it on what is optimised, and keeps the section target_features for it: so that all machines make the
# same, there is no optimisation here, and the section is always kept.
link_program() {
  "${cc[@]}" -O0 -mexec-model=reactor "-Wl,--strip-all,--keep-section=target_features,--stack-first,-z,stack-size=$stack" -o engine.wasm engine.o door.o "${parts[@]}"
}

# This one is for an interpreter that was linked by others, interpreter.wasm. What is ours becomes a module that works in the interpreter's memory, in pages
# from base on, which are not the interpreter's; binaryen makes one module of both, where door is the name by which the interpreter imports from ours. It
# saves local variables, of which asyncify leaves many, so that compiling the engine does not take long.
link_interpreter() {
  local features=(--enable-{bulk-memory,multivalue,mutable-globals,nontrapping-float-to-int,reference-types,sign-ext})
  "${cc[@]}" -O0 -nostartfiles "-Wl,--no-entry,--strip-all,--global-base=$base,-z,stack-size=$stack" -Xlinker --import-memory=interpreter,memory \
    -o ours.wasm engine.o door.o
  wasm-merge "${features[@]}" interpreter.wasm interpreter ours.wasm "$door" -o both.wasm
  wasm-opt "${features[@]}" --coalesce-locals --memory-packing both.wasm -o engine.wasm
}

# compile NAME TO: builds an engine in a scratch folder.
compile() (
  . "$pdk/$1/engine/engine.sh"
  [ "$suite" != npm ] || PATH=$(binaryen):$PATH
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
  if [ "$suite" = npm ]; then link_interpreter; else link_program; fi
  # What it was made of: plugins take it over into their bill of materials.
  printf %s "${bill:-}" >bill
  [ ! -s bill ] || llvm-objcopy-19 --add-section=riposte.sbom=bill engine.wasm
  mv engine.wasm "$2"
  mv source/LICENSE "$2.LICENSE"
)

# binaryen gives the folder with its programs, which AssemblyScript brings along.
binaryen() {
  "$pdk/toolchains.sh" assemblyscript >&2
  echo "${XDG_CACHE_HOME:-$HOME/.cache}/riposte/toolchains/assemblyscript-$(sed -n 's/.*"assemblyscript": "\([0-9.]*\)".*/\1/p' "$pdk/assemblyscript/toolchain/package.json")/node_modules/binaryen/bin"
}

# inputs NAME: what an engine is made of, as one digest.
inputs() (
  embeds=()
  . "$pdk/$1/engine/engine.sh"
  {
    echo "$sum $patches_sum"
    clang-19 --version
    [ "$suite" != npm ] || cat "$pdk/assemblyscript/toolchain/package-lock.json"
    dpkg-query -W wasi-libc libclang-rt-19-dev-wasm32 lld-19 2>/dev/null || true
    cd "$pdk" && find engine "$1/engine" "${embeds[@]}" -type f ! -name digests -print0 | sort -z | xargs -0 sha256sum
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
  local name=$1 runtime package suite file sum patches='' patches_sum='' stack base door bill embeds=() part digest now
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
  *)
    [ -e "$pdk/$argument/engine/engine.sh" ] || die "usage: $0 [--install] [--check] [--pin] [NAME …] (there is no pdk/$argument/engine/engine.sh)"
    names+=("$argument")
    ;;
  esac
done
((${#names[@]})) || names=(js lua python)
for name in "${names[@]}"; do make_engine "$name"; done
