// The Python engine: CPython as a module that knows nothing but the doors of the host (see door.h). What is not about memory is in boot.py; it
// and the standard library are frozen into the module (freeze.py), so there are no files.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

#include "door.h"

extern const struct _frozen engine_library[]; // written by freeze.py

static PyObject *boot; // the module boot.py

// py_call is _riposte.call(fn: str, request: str) -> str.
static PyObject *py_call(PyObject *self, PyObject *args) {
  const char *fn, *request;
  Py_ssize_t size;
  size_t reply_size;
  char *reply;
  if (!PyArg_ParseTuple(args, "ss#", &fn, &request, &size)) return NULL;
  switch (door_call(fn, request, size, &reply, &reply_size)) {
  case DOOR_UNKNOWN:
    return PyErr_Format(PyExc_LookupError, "there is no host function %s", fn);
  case DOOR_MEMORY:
    return PyErr_NoMemory();
  case DOOR_OK:
    break;
  }
  PyObject *text = PyUnicode_DecodeUTF8(reply, reply_size, "strict");
  free(reply);
  return text;
}

static PyMethodDef functions[] = {{"call", py_call, METH_VARARGS, "Asks the host."}, {NULL}};

static PyModuleDef doors = {PyModuleDef_HEAD_INIT, "_riposte", "The way to the host.", -1, functions};

static PyObject *new_doors(void) { return PyModule_Create(&doors); }

// start begins the interpreter: no files, no environment, nothing that differs from one start to the next.
static PyStatus start(void) {
  PyPreConfig early;
  PyPreConfig_InitIsolatedConfig(&early);
  early.utf8_mode = 1;
  PyStatus status = Py_PreInitialize(&early);
  if (PyStatus_Exception(status)) return status;
  PyConfig config;
  PyConfig_InitIsolatedConfig(&config);
  config.use_hash_seed = 1; // what a hash seed guards against costs a script its own fuel only
  config.hash_seed = 0;
  config.site_import = 0;
  config.write_bytecode = 0;
  config.pathconfig_warnings = 0;
  config.module_search_paths_set = 1;
  config.buffered_stdio = 0;
  config.code_debug_ranges = 0; // columns that no message shows
  wchar_t **paths[] = {&config.program_name, &config.executable, &config.base_executable, &config.home, &config.prefix,
                       &config.base_prefix, &config.exec_prefix, &config.base_exec_prefix, &config.stdlib_dir};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    status = PyConfig_SetString(&config, paths[i], L"/");
    if (PyStatus_Exception(status)) goto done;
  }
  PyImport_FrozenModules = engine_library;
  if (PyImport_AppendInittab("_riposte", new_doors) < 0) status = PyStatus_NoMemory();
  else status = Py_InitializeFromConfig(&config);
done:
  PyConfig_Clear(&config);
  return status;
}

// give leaves the output; a fault of ours where there is none, as when the memory is used up.
static int give(PyObject *result) {
  Py_ssize_t size;
  const char *text = result ? PyUnicode_AsUTF8AndSize(result, &size) : NULL;
  if (text == NULL) door_exhausted();
  else door_output(text, size);
  PyErr_Clear();
  Py_XDECREF(result);
  return 0;
}

// hand calls a function of boot.py with the input of this call.
static int hand(const char *function) {
  size_t size;
  char *input = door_input(&size);
  PyObject *result = input ? PyObject_CallMethod(boot, function, "s#", input, (Py_ssize_t)size) : NULL;
  free(input);
  return give(result);
}

EXPORT(riposte_load) int riposte_load(void) {
  PyStatus status = start();
  if (PyStatus_Exception(status)) {
    fprintf(stderr, "%s\n", status.err_msg);
    return 1;
  }
  boot = PyImport_ImportModule("_boot");
  if (boot == NULL) {
    PyErr_Print();
    return 1;
  }
  return hand("load");
}

EXPORT(riposte_run) int riposte_run(void) { return hand("run"); }
