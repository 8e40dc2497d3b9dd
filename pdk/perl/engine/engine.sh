# How make.sh joins the Perl engine: Perl 5.42.0 (Artistic License or GPL), as the package zeroperl-ts (Apache-2.0) has it, compiled for WASI by others.
runtime=perl@5.42
package=@6over3/zeroperl-ts@1.0.10 suite=npm file=6over3-zeroperl-ts-1.0.10.tgz
sum=c46c5ffff4f2c2216137a6b34b4eb03f5554e17a2b88979463c5f61dffb36fed
stack=65536 base=$((512 << 16)) door=env
bill='{"type":"platform","name":"Perl","version":"5.42.0","licenses":[{"expression":"(Artistic-1.0-Perl OR GPL-1.0-or-later) AND Apache-2.0"}],"purl":"pkg:npm/%406over3/zeroperl-ts@1.0.10"}'
more=()
embeds=(perl/Riposte/Codec.pm)

build() {
  printf '%s\n' "Perl 5.42.0, Copyright 1987-2025, Larry Wall and others, under the terms of either the Artistic License or the GNU General Public License; its" \
    "source is https://www.cpan.org/src/5.0/perl-5.42.0.tar.gz. Around it the package @6over3/zeroperl-ts 1.0.10 of npm, under the Apache License 2.0." >source/LICENSE
  mv source/dist/esm/zeroperl.wasm interpreter.wasm
  # Its memory begins with 512 pages, all Perl's. Two more are ours: the number stands in the section of the memory.
  printf '\x82' | dd of=interpreter.wasm bs=1 seek=4312 conv=notrunc || return
  # Among the modules of Perl that it carries there is Image::ExifTool, which is half of it, and which nobody needs who cannot read files.
  head -c 12608914 /dev/zero | dd of=interpreter.wasm iflag=fullblock bs=64K oflag=seek_bytes seek=7720872 conv=notrunc || return
  "${cc[@]}" -std=c2x -Wall -Wextra -c "$pdk/perl/engine/engine.c" -o engine.o
}
