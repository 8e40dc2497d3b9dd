# Puts a check behind each call in the assembly of clang: while an error is on its way, the function returns; see unwind.h.
BEGIN { print "\t.globaltype\tunwinding, i32" }
label && /^\t\.functype/ { results = split(substr($0, index($0, "->") + 2), type, /[(), ]+/) }
{ print; label = /^[^ \t.].*:/ }
/^\tcall/ {
  print "\tglobal.get\tunwinding\n\tif"
  for (i = 1; i <= results; i++) if (type[i] != "") print "\t" type[i] ".const\t" (type[i] ~ /f/ ? "0x0p0" : "0")
  print "\treturn\n\tend_if"
}
