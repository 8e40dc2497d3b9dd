"""What the engine does before and around the scripts of a package; engine.c calls load once and run for each action. The kit (riposte.py) is one of
the scripts; it puts into ACT what runs one action, and into ACTIONS their names."""

import gc
import json
import sys
from importlib.machinery import ModuleSpec

ACT = None
ACTIONS: dict = {}
FILES: dict = {}  # name in the package to text, or bytes


class Finder:
    """Finds modules among the files of the package."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        base = name.replace(".", "/")
        for file, package in ((base + ".py", False), (base + "/__init__.py", True)):
            if isinstance(FILES.get(file), str):
                return ModuleSpec(name, Finder, origin=file, is_package=package)
        if any(file.startswith(base + "/") and file.endswith(".py") for file in FILES):
            return ModuleSpec(name, Finder, is_package=True)
        return None

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        file = module.__spec__.origin
        if file is None:  # a folder without __init__.py
            return
        module.__file__ = file
        exec(compile(FILES[file], file, "exec", dont_inherit=True), module.__dict__)


def places(error):
    """Lists where an error went through the package, innermost function first: "plugin.py:12 in lookup"; at most fifty."""
    found, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename in FILES and code.co_filename != "riposte.py":
            found.append(f"{code.co_filename}:{trace.tb_lineno} in {code.co_qualname}")
            del found[:-50]
        trace = trace.tb_next
    return found[::-1]


def crash(error, kind="trap"):
    """Makes the result of a script that raised something else than a Fault of the kit."""
    stack = places(error)
    where = stack[0].partition(" ")[0] if stack else ""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename in FILES:
        where, message = f"{error.filename}:{error.lineno}:{error.offset}", f"{type(error).__name__}: {error.msg}"
    if isinstance(error, MemoryError):
        kind, message = "limit", "the plugin needs more memory than it has"
    if isinstance(error, RecursionError):
        kind, message = "limit", "the plugin calls itself too deeply"
    return {"fault": {"kind": kind, "message": message, "where": where}, "stack": stack}


def load(text):
    """Evaluates the scripts: abi.Scripts in, abi.Result with abi.Loaded out."""
    try:
        scripts = json.loads(text)
        for name, file in scripts["files"].items():
            if "base64" in file:
                import base64
                FILES[name] = base64.b64decode(file["base64"])
            else:
                FILES[name] = file.get("text", "")
        sys.meta_path.append(Finder)
        entry = scripts["entry"]
        __import__(entry.removesuffix(".py").replace("/", "."))
        if ACT is None:
            return json.dumps({"fault": {"kind": "invalid", "message": entry + " does not import the kit", "hint": "begin it with: import riposte", "where": entry}})
        gc.collect()
        gc.freeze()  # what lives for ever need not be looked at again
        return json.dumps({"output": {"actions": list(ACTIONS)}})
    except BaseException as error:  # a script may raise anything, SystemExit too
        return json.dumps(crash(error, "invalid"))


def run(text):
    """Runs one action: abi.Call in, abi.Result out."""
    try:
        if "random" in sys.modules:
            sys.modules["random"].seed()  # from the host, whose numbers are those of the tape
        return ACT(json.loads(text))
    except BaseException as error:
        return json.dumps(crash(error))
