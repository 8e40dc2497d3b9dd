# How make.sh builds the Lua engine: Lua 5.4 (MIT licence), from Debian's release 13, which has its last corrections.
runtime=lua@5.4
package=lua5.4 suite=trixie file=lua5.4_5.4.7.orig.tar.gz
sum=9fbf5e28ef86c69858f6d3d34eccc32e911c1a28b4120ff3e84aaa70cfbf1e30
stack=524288
bill='{"type":"platform","name":"Lua","version":"5.4.7","licenses":[{"expression":"MIT"}],"purl":"pkg:generic/lua@5.4.7"}'
more=(awk:mawk)
embeds=(lua/riposte/codec.lua)
parts=(unwind.o -lwasi-emulated-process-clocks)

build() {
  sed -i '/<setjmp.h>/d' source/src/ldo.c # which WASI does not have
  sed -n '/^\* Copyright/,/^\*\*\*/s/^\*\**\/* *//p' source/src/lua.h >source/LICENSE
  local own=$pdk/lua/engine flags=(-Isource/src -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS) lua=() part
  for part in lapi lauxlib lbaselib lcode lcorolib lctype ldblib ldebug ldo ldump lfunc lgc llex lmathlib lmem lobject lopcodes loslib lparser \
    lstate lstring lstrlib ltable ltablib ltm lundump lutf8lib lvm lzio; do
    lua+=("$part.o")
    if [ $part = lbaselib ]; then
      unwinding "$part" "${flags[@]}" "-DluaL_loadfilex(L, name, mode)=LUA_ERRFILE" "source/src/$part.c" || return
    else
      unwinding "$part" "${flags[@]}" "source/src/$part.c" || return
    fi
  done
  unwinding engine "${flags[@]}" -std=gnu2x -Wall "$own/engine.c" || return
  "${cc[@]}" -std=c2x -Wall -c "$own/unwind.c" -o unwind.o
  parts=("${lua[@]}" "${parts[@]}")
}

# unwinding PART FLAG … SOURCE: compiles a source whose functions errors pass.
unwinding() {
  local part=$1
  shift
  "${cc[@]}" -include "$own/unwind.h" -S "$@" -o "$part.checkless" && awk -f "$own/unwind.awk" "$part.checkless" >"$part.s" &&
    clang-19 --target=wasm32-wasi -Wa,--no-type-check -c "$part.s" -o "$part.o" # its check of types does not know blocks; the host's does
}
