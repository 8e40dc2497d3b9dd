// The JavaScript engine: QuickJS as a module that knows nothing but the doors of the host (see door.h). What is not about memory is in boot.js.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "door.h"
#include "quickjs.h"

// What the stack of the module has (build.sh) less what a host call and the regular expressions need. Deeper calls throw.
enum { STACK = 768 << 10 };

static const char boot[] = {
#embed "boot.js"
    , 0};

static JSRuntime *runtime;
static JSContext *context;
static JSValue files;   // of the package: name to text
static JSValue engine;  // the object that boot.js works with

static JSValue js_call(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size, reply_size;
  char *reply;
  const char *fn = JS_ToCString(ctx, argv[0]);
  const char *request = fn ? JS_ToCStringLen(ctx, &size, argv[1]) : NULL;
  JSValue result = JS_EXCEPTION;
  if (request != NULL) {
    switch (door_call(fn, request, size, &reply, &reply_size)) {
    case DOOR_OK:
      result = JS_NewStringLen(ctx, reply, reply_size);
      free(reply);
      break;
    case DOOR_UNKNOWN:
      JS_ThrowReferenceError(ctx, "there is no host function %s", fn);
      break;
    case DOOR_MEMORY:
      JS_ThrowOutOfMemory(ctx);
    }
  }
  JS_FreeCString(ctx, request);
  JS_FreeCString(ctx, fn);
  return result;
}

// js_random is Math.random: 53 bits of the host, which are those of the tape.
static JSValue js_random(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  uint64_t bits = 0;
  if (getentropy(&bits, sizeof bits) != 0) return JS_ThrowInternalError(ctx, "no random numbers");
  return JS_NewFloat64(ctx, (double)(bits >> 11) * 0x1p-53);
}

// js_now is performance.now: milliseconds of a clock that never goes back.
static JSValue js_now(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return JS_NewFloat64(ctx, (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6);
}

static uint8_t *view(JSContext *ctx, size_t *size, JSValueConst array) {
  size_t offset, length, whole;
  JSValue buffer = JS_GetTypedArrayBuffer(ctx, array, &offset, &length, NULL);
  if (JS_IsException(buffer)) return NULL;
  uint8_t *bytes = JS_GetArrayBuffer(ctx, &whole, buffer);
  JS_FreeValue(ctx, buffer); // the array keeps it
  *size = length;
  return bytes ? bytes + offset : NULL;
}

// js_fill fills an array of bytes with random ones, as crypto.getRandomValues.
static JSValue js_fill(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size;
  uint8_t *bytes = view(ctx, &size, argv[0]);
  if (bytes == NULL) return JS_EXCEPTION;
  for (size_t at = 0, n; at < size; at += n) {
    n = size - at < 256 ? size - at : 256; // as many as getentropy gives
    if (getentropy(bytes + at, n) != 0) return JS_ThrowInternalError(ctx, "no random numbers");
  }
  return JS_DupValue(ctx, argv[0]);
}

static void release(JSRuntime *rt, void *opaque, void *bytes) { free(bytes); }

static JSValue new_bytes(JSContext *ctx, uint8_t *bytes, size_t size) {
  JSValue buffer = JS_NewArrayBuffer(ctx, bytes, size, release, NULL, 0);
  if (JS_IsException(buffer)) return buffer;
  JSValue none[3] = {buffer, JS_UNDEFINED, JS_UNDEFINED};
  JSValue array = JS_NewTypedArray(ctx, 3, none, JS_TYPED_ARRAY_UINT8);
  JS_FreeValue(ctx, buffer);
  return array;
}

// js_encode gives the UTF-8 of a string.
static JSValue js_encode(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size;
  const char *text = JS_ToCStringLen(ctx, &size, argv[0]);
  if (text == NULL) return JS_EXCEPTION;
  uint8_t *copy = malloc(size ? size : 1);
  if (copy != NULL) memcpy(copy, text, size);
  JS_FreeCString(ctx, text);
  return copy ? new_bytes(ctx, copy, size) : JS_ThrowOutOfMemory(ctx);
}

// sequence gives the length of the well-formed UTF-8 sequence (Unicode 15, table 3-7) at the begin of s, or 0.
static size_t sequence(const uint8_t *s, size_t left) {
  uint8_t low = 0x80, high = 0xbf;
  size_t more;
  if (s[0] < 0x80) return 1;
  if (s[0] >= 0xc2 && s[0] <= 0xdf) more = 1;
  else if (s[0] >= 0xe0 && s[0] <= 0xef) more = 2;
  else if (s[0] >= 0xf0 && s[0] <= 0xf4) more = 3;
  else return 0;
  if (s[0] == 0xe0) low = 0xa0;
  if (s[0] == 0xed) high = 0x9f;
  if (s[0] == 0xf0) low = 0x90;
  if (s[0] == 0xf4) high = 0x8f;
  if (left <= more || s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i <= more; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  return more + 1;
}

// js_decode gives the text that bytes are in UTF-8. If they are none: null, or with a second argument the text with U+FFFD for each byte that
// cannot be read.
static JSValue js_decode(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size, bad = 0;
  const uint8_t *bytes = view(ctx, &size, argv[0]);
  if (bytes == NULL) return JS_EXCEPTION;
  for (size_t at = 0, n; at < size; at += n ? n : 1)
    if ((n = sequence(bytes + at, size - at)) == 0) bad++;
  if (bad == 0) return JS_NewStringLen(ctx, (const char *)bytes, size);
  if (!JS_ToBool(ctx, argv[1])) return JS_NULL;
  char *text = malloc(size + 2 * bad), *to = text;
  if (text == NULL) return JS_ThrowOutOfMemory(ctx);
  for (size_t at = 0, n; at < size; at += n ? n : 1) {
    n = sequence(bytes + at, size - at);
    memcpy(to, n ? (const char *)bytes + at : "\xef\xbf\xbd", n ? n : 3);
    to += n ? n : 3;
  }
  JSValue result = JS_NewStringLen(ctx, text, to - text);
  free(text);
  return result;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// js_encode64 gives the Base64 (RFC 4648) of bytes.
static JSValue js_encode64(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size;
  const uint8_t *bytes = view(ctx, &size, argv[0]);
  if (bytes == NULL) return JS_EXCEPTION;
  char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;
  if (text == NULL) return JS_ThrowOutOfMemory(ctx);
  for (size_t at = 0; at < size; at += 3) {
    size_t left = size - at;
    uint32_t group = bytes[at] << 16 | (left > 1 ? bytes[at + 1] << 8 : 0) | (left > 2 ? bytes[at + 2] : 0);
    *to++ = digits[group >> 18];
    *to++ = digits[group >> 12 & 63];
    *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
    *to++ = left > 2 ? digits[group & 63] : '=';
  }
  JSValue result = JS_NewStringLen(ctx, text, to - text);
  free(text);
  return result;
}

// js_decode64 gives the bytes of Base64; null if it is none.
static JSValue js_decode64(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  size_t size;
  const char *text = JS_ToCStringLen(ctx, &size, argv[0]);
  if (text == NULL) return JS_EXCEPTION;
  uint8_t *bytes = malloc(size / 4 * 3 + 3);
  size_t n = 0, given = size;
  uint32_t group = 0;
  int bits = 0, ok = bytes != NULL && size % 4 == 0;
  while (given > 0 && size - given < 2 && text[given - 1] == '=') given--;
  for (size_t at = 0; ok && at < given; at++) {
    const char *digit = text[at] ? strchr(digits, text[at]) : NULL;
    ok = digit != NULL;
    group = group << 6 | (uint32_t)(digit - digits);
    if ((bits += 6) >= 8) bytes[n++] = group >> (bits -= 8);
  }
  JS_FreeCString(ctx, text);
  if (ok) return new_bytes(ctx, bytes, n);
  free(bytes);
  return bytes ? JS_NULL : JS_ThrowOutOfMemory(ctx);
}

// file gives the text of a file of the package; undefined if there is none.
static JSValue file(JSContext *ctx, const char *name) { return JS_GetPropertyStr(ctx, files, name); }

static char *normalise(JSContext *ctx, const char *base, const char *name, void *opaque) {
  if (name[0] != '.') { // "riposte" is the kit
    JSValue text = file(ctx, name);
    int found = JS_IsString(text);
    JS_FreeValue(ctx, text);
    char *path = js_malloc(ctx, strlen(name) + 4);
    return path ? strcat(strcpy(path, name), found ? "" : ".js") : NULL;
  }
  const char *slash = strrchr(base, '/');
  size_t length = slash ? (size_t)(slash - base) : 0;
  char *path = js_malloc(ctx, length + strlen(name) + 2);
  if (path == NULL) return NULL;
  memcpy(path, base, length);
  path[length] = 0;
  for (;;) {
    if (strncmp(name, "./", 2) == 0) {
      name += 2;
    } else if (strncmp(name, "../", 3) == 0) {
      char *up = strrchr(path, '/');
      *(up ? up : path) = 0;
      name += 3;
    } else {
      break;
    }
  }
  if (*path) strcat(path, "/");
  return strcat(path, name);
}

static JSModuleDef *load_module(JSContext *ctx, const char *name, void *opaque) {
  JSValue text = file(ctx, name);
  if (!JS_IsString(text)) {
    JS_FreeValue(ctx, text);
    JS_ThrowReferenceError(ctx, "there is no file %s in the package", name);
    return NULL;
  }
  size_t size;
  const char *source = JS_ToCStringLen(ctx, &size, text);
  JS_FreeValue(ctx, text);
  if (source == NULL) return NULL;
  JSValue module = JS_Eval(ctx, source, size, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  JS_FreeCString(ctx, source);
  if (JS_IsException(module)) return NULL;
  JSModuleDef *def = JS_VALUE_GET_PTR(module);
  JS_FreeValue(ctx, module); // the context keeps it
  return def;
}

// js_import evaluates a file of the package and those that it imports; it gives the promise of that.
static JSValue js_import(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  const char *name = JS_ToCString(ctx, argv[0]);
  if (name == NULL) return JS_EXCEPTION;
  JSModuleDef *module = load_module(ctx, name, NULL);
  JS_FreeCString(ctx, name);
  if (module == NULL) return JS_EXCEPTION;
  JSValue value = JS_DupValue(ctx, JS_MKPTR(JS_TAG_MODULE, module));
  if (JS_ResolveModule(ctx, value) < 0) {
    JS_FreeValue(ctx, value);
    return JS_EXCEPTION;
  }
  return JS_EvalFunction(ctx, value);
}

// js_settle runs the jobs that wait and gives [state, value] of a promise; states are those of JSPromiseStateEnum.
static JSValue js_settle(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
  JSContext *of;
  int ran;
  while ((ran = JS_ExecutePendingJob(runtime, &of)) > 0) {}
  if (ran < 0) return JS_EXCEPTION;
  JSValue pair = JS_NewArray(ctx);
  if (JS_IsException(pair)) return pair;
  JS_SetPropertyUint32(ctx, pair, 0, JS_NewInt32(ctx, JS_PromiseState(ctx, argv[0])));
  JS_SetPropertyUint32(ctx, pair, 1, JS_PromiseResult(ctx, argv[0]));
  return pair;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("call", 2, js_call),         JS_CFUNC_DEF("random", 0, js_random),     JS_CFUNC_DEF("encode", 1, js_encode),
    JS_CFUNC_DEF("now", 0, js_now),           JS_CFUNC_DEF("fill", 1, js_fill),
    JS_CFUNC_DEF("decode", 2, js_decode),     JS_CFUNC_DEF("encode64", 1, js_encode64), JS_CFUNC_DEF("decode64", 1, js_decode64),
    JS_CFUNC_DEF("import", 1, js_import),     JS_CFUNC_DEF("settle", 1, js_settle),
};

// give leaves the output; a fault of ours where there is none, as when the memory is used up.
static int give(JSValue result) {
  size_t size = 0;
  const char *text = JS_IsException(result) ? NULL : JS_ToCStringLen(context, &size, result);
  if (text == NULL) door_exhausted();
  else door_output(text, size);
  JS_FreeCString(context, text);
  JS_FreeValue(context, result);
  return 0;
}

// hand calls a function of boot.js with the input of this call.
static int hand(const char *function) {
  size_t size;
  char *input = door_input(&size);
  if (input == NULL) return give(JS_EXCEPTION);
  JS_UpdateStackTop(runtime);
  JSValue text = JS_NewStringLen(context, input, size);
  free(input);
  JSValue f = JS_GetPropertyStr(context, engine, function);
  JSValue result = JS_IsException(text) ? JS_EXCEPTION : JS_Call(context, f, engine, 1, &text);
  JS_FreeValue(context, f);
  JS_FreeValue(context, text);
  return give(result);
}

// start makes the context, in which boot.js has put its functions on the object engine.
static int start(void) {
  runtime = JS_NewRuntime();
  if (runtime == NULL) return 1;
  JS_SetMaxStackSize(runtime, STACK);
  JS_SetModuleLoaderFunc(runtime, normalise, load_module, NULL);
  context = JS_NewContext(runtime);
  if (context == NULL) return 1;
  engine = JS_NewObject(context);
  files = JS_NewObject(context);
  JS_SetPropertyFunctionList(context, engine, functions, sizeof functions / sizeof *functions);
  JS_SetPropertyStr(context, engine, "files", JS_DupValue(context, files));
  JSValue f = JS_Eval(context, boot, sizeof boot - 1, "engine", JS_EVAL_TYPE_GLOBAL);
  JSValue done = JS_Call(context, f, JS_UNDEFINED, 1, &engine);
  int failed = JS_IsException(done);
  JS_FreeValue(context, f);
  JS_FreeValue(context, done);
  return failed;
}

EXPORT(riposte_load) int riposte_load(void) {
  if (start() != 0) return 1;
  int code = hand("load");
  JS_RunGC(runtime);
  return code;
}

EXPORT(riposte_run) int riposte_run(void) { return hand("run"); }
