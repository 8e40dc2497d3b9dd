# How make.sh builds the Python engine: CPython 3.11 (PSF licence), as Debian has it in its release 12, with the corrections of its security team.
# It is built by a Python 3.11.
runtime=python@3.11
package=python3.11 suite=bookworm file=python3.11_3.11.2.orig.tar.gz
sum=2411c74bda5bbcfcddaf4531f66d1adc73f247f529aee981b029513aefdbf849
patches=python3.11_3.11.2-6+deb12u8.debian.tar.xz
patches_sum=ece2d63c70ac0b7a401fbe6b51b0103be997c294a01a3865549be1862794ba97
stack=2097152
bill='{"type":"platform","name":"CPython","version":"3.11.2-6+deb12u8","licenses":[{"expression":"Python-2.0.1"}],"purl":"pkg:deb/debian/python3.11@3.11.2-6%2Bdeb12u8?arch=source"}'
more=(patch:patch /usr/bin/python3.11:python3.11 pkg-config:pkg-config)
parts=(library.o libpython3.11.a Modules/_decimal/libmpdec/libmpdec.a Modules/expat/libexpat.a
  -lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks)

# The modules of the standard library in C that can do something here: no files, processes, sockets, threads or terminals.
modules='*static*
array arraymodule.c
_bisect _bisectmodule.c
_contextvars _contextvarsmodule.c
_csv _csv.c
_heapq _heapqmodule.c
_json _json.c
_opcode _opcode.c
_queue _queuemodule.c
_random _randommodule.c
_struct _struct.c
_typing _typingmodule.c
math mathmodule.c
cmath cmathmodule.c
_statistics _statisticsmodule.c
_datetime _datetimemodule.c
_decimal _decimal/_decimal.c
binascii binascii.c
_md5 md5module.c
_sha1 sha1module.c
_sha256 sha256module.c
_sha512 sha512module.c
_sha3 _sha3/sha3module.c
_blake2 _blake2/blake2module.c _blake2/blake2b_impl.c _blake2/blake2s_impl.c
pyexpat pyexpat.c
_elementtree _elementtree.c
unicodedata unicodedata.c'

build() {
  export SOURCE_DATE_EPOCH=1675814400 # the day of the release
  export CONFIG_SITE=source/Tools/wasm/config.site-wasm32-wasi HOSTRUNNER=true PKG_CONFIG_LIBDIR=/nonexistent
  export CC="clang-19 --target=wasm32-wasi" CPP="clang-19 --target=wasm32-wasi -E" AR=llvm-ar-19 RANLIB=llvm-ranlib-19 LDSHARED=false
  export CFLAGS="${cc[*]:2} -Wno-int-conversion -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS"
  export LDFLAGS="-O0 -lwasi-emulated-signal -lwasi-emulated-getpid -lwasi-emulated-process-clocks"
  source/configure --host=wasm32-unknown-wasi --build="$(uname -m)-linux-gnu" --with-build-python=/usr/bin/python3.11 \
    --disable-test-modules --disable-ipv6 --without-pymalloc --with-ensurepip=no || return
  echo "$modules" >Modules/Setup.stdlib
  make -j"$(nproc)" libpython3.11.a Modules/_decimal/libmpdec/libmpdec.a Modules/expat/libexpat.a || return
  PYTHONHASHSEED=0 /usr/bin/python3.11 -I "$pdk/python/engine/freeze.py" source/Lib "$pdk/python/engine" library.c || return
  local flags=(-Isource/Include -I.)
  "${cc[@]}" "${flags[@]}" -c library.c -o library.o || return
  "${cc[@]}" "${flags[@]}" -std=c2x -Wall -c "$pdk/python/engine/engine.c" -o engine.o
}
