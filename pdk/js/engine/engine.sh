# How make.sh builds the JavaScript engine: QuickJS (MIT licence), which Debian has in its release 13.
runtime=js@es2023
package=quickjs suite=trixie file=quickjs_2025.04.26.orig.tar.xz
sum=ec81da5b3249ed648dbc7df4a1654988910e66a118d9b71cb63534216efcfbbe
stack=1048576
bill='{"type":"platform","name":"QuickJS","version":"2025-04-26","licenses":[{"expression":"MIT"}],"purl":"pkg:generic/quickjs@2025-04-26"}'
more=()
parts=(quickjs.o cutils.o libregexp.o libunicode.o dtoa.o)

build() {
  sed -i '/<setjmp.h>/d' source/dtoa.c # which it does not use, and WASI does not have
  # EMSCRIPTEN stands for: no threads, no computed goto, no malloc_usable_size. The check of the stack is wanted all the same.
  local flags=(-DNDEBUG -DEMSCRIPTEN -DCONFIG_STACK_CHECK '-DCONFIG_VERSION="2025-04-26"' -D_GNU_SOURCE -fwrapv -Isource) part
  for part in "${parts[@]}"; do
    "${cc[@]}" "${flags[@]}" -c "source/${part%.o}.c" -o "$part" || return
  done
  "${cc[@]}" "${flags[@]}" -Wall -std=c2x -c "$pdk/js/engine/engine.c" -o engine.o
}
