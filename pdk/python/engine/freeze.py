"""Writes the standard library of the engine, and boot.py, as C.

    python3.11 freeze.py LIB OWN OUT

LIB is the folder Lib of the CPython source, OWN that of boot.py and socket.py, OUT the C file. The same input gives the same bytes.
"""

import marshal
import pathlib
import sys

# What a plugin may import beside the modules that are written in C. Left out is what needs files, processes, sockets or threads, and what
# nobody would miss in an action. A name that ends in ".*" is a package with all that is in it.
LIBRARY = """
__future__ _collections_abc _compat_pickle _markupbase _strptime _weakrefset abc ast base64 bisect calendar codecs collections.* configparser
contextlib contextvars copy copyreg csv dataclasses datetime decimal difflib dis email.* encodings.* enum fnmatch fractions functools
genericpath graphlib hashlib heapq hmac html.* http http.cookies inspect io ipaddress json.* keyword linecache locale logging numbers opcode
operator os pathlib posixpath pprint queue quopri random re.* reprlib secrets shlex sre_compile sre_constants sre_parse stat statistics string
stringprep struct textwrap threading token tokenize traceback types typing urllib urllib.parse uu uuid warnings weakref xml.* importlib
importlib._abc importlib.abc importlib.machinery importlib.util _threading_local
""".split()

# Tables of encodings that this interpreter has no decoder for, or that belong to other systems.
LEFT_OUT = {"json.tool", "email.mime.audio", "xml.sax.expatreader", "xml.sax.saxutils", "xml.sax.xmlreader", "xml.sax.handler", "xml.sax._exceptions",
            "xml.sax", "encodings.mbcs", "encodings.oem", "encodings.bz2_codec", "encodings.zlib_codec"}
CJK = ("big5", "cp932", "cp949", "cp950", "euc_", "gb", "hz", "iso2022", "johab", "shift_jis")


def modules(lib: pathlib.Path):
    """Yields name, file and whether it is a package, of each module to freeze."""
    for name in LIBRARY:
        base, everything = name.removesuffix(".*"), name.endswith(".*")
        path = lib / base.replace(".", "/")
        if not path.is_dir():
            yield base, path.with_suffix(".py"), False
            continue
        yield base, path / "__init__.py", True
        for file in sorted(path.rglob("*.py")) if everything else []:
            inner = ".".join(file.relative_to(lib).with_suffix("").parts)
            package = inner.endswith(".__init__")
            inner = inner.removesuffix(".__init__")
            if inner == base or inner in LEFT_OUT or inner.startswith("encodings.") and file.stem.startswith(CJK):
                continue
            yield inner, file, package


def main(lib: str, own: str, out: str) -> None:
    """Compiles the modules and writes the table."""
    root = pathlib.Path(lib)
    ours = [(name, pathlib.Path(own) / file, False) for name, file in (("_boot", "boot.py"), ("socket", "socket.py"))]
    arrays, table = [], []
    for i, (name, file, package) in enumerate([*ours, *modules(root)]):
        shown = f"lib/{file.relative_to(root).as_posix()}" if file.is_relative_to(root) else f"engine/{file.name}"
        code = compile(file.read_bytes(), shown, "exec", dont_inherit=True, optimize=2)  # neither assertions nor what help() shows
        data = marshal.dumps(code, 2)  # later versions share what the memory of this process happens to share
        arrays.append(f"static const unsigned char m{i}[] = {{{','.join(map(str, data))}}};\n")
        table.append(f'  {{"{name}", m{i}, {len(data)}, {int(package)}}},\n')
    pathlib.Path(out).write_text("#include <Python.h>\n" + "".join(arrays) + "const struct _frozen engine_library[] = {\n" + "".join(table) + "  {0}};\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
