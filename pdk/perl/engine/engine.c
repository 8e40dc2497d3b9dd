// The Perl engine: what stands between Perl, as zeroperl.wasm has it, and the doors of the host (see door.h). It is compiled to a module of its own that
// works in Perl's memory, and joined with Perl's by wasm-merge. What Perl asks of it comes by call_host_function, the only import that zeroperl.wasm
// has beside those of WASI.
#include <stdint.h>
#include <wasi/api.h>

#include "door.h"

static const char boot[] = {
#embed "boot.pl"
    , 0};
static const char codec[] = {
#embed "../Riposte/Codec.pm"
};

// What zeroperl.wasm exports. A value is a scalar of Perl's; texts are UTF-8.
struct value;
#define PERL(name) __attribute__((import_module("interpreter"), import_name(#name)))
PERL(malloc) void *perl_malloc(size_t size);
PERL(free) void perl_free(void *block);
PERL(zeroperl_init_with_args) int perl_init(int argc, char **argv);
PERL(zeroperl_eval) int perl_eval(const char *code, int context, int argc, char **argv);
PERL(zeroperl_register_function) void perl_register(int32_t id, const char *name);
PERL(zeroperl_new_string) struct value *perl_text(const char *text, size_t size);
PERL(zeroperl_to_string) const char *perl_bytes(struct value *value, size_t *size);
PERL(zeroperl_set_host_error) void perl_fail(const char *message);

// Memory is Perl's.
void *malloc(size_t size) { return perl_malloc(size); }
void free(void *block) { perl_free(block); }

// The functions of boot.pl that are written here, which are the package Riposte::Engine's.
enum { CODEC, INPUT, OUTPUT, CALL, ENTROPY };

static struct value *fail(const char *message) {
  perl_fail(message);
  return NULL;
}

// give makes a scalar of a text, and frees the text.
static struct value *give(char *text, size_t size) {
  if (text == NULL) return fail("not enough memory");
  struct value *value = perl_text(text, size);
  perl_free(text);
  return value;
}

static struct value *call(struct value *fn, struct value *request) {
  size_t size, reply_size;
  char *reply;
  const char *bytes = perl_bytes(request, &size);
  switch (door_call(perl_bytes(fn, NULL), bytes, size, &reply, &reply_size)) {
  case DOOR_UNKNOWN:
    return fail("there is no such host function");
  case DOOR_MEMORY:
    return fail("not enough memory");
  case DOOR_OK:
    return give(reply, reply_size);
  }
}

// entropy gives 32 random bytes of the host, which are those of the tape, in hexadecimal digits.
static struct value *entropy(void) {
  unsigned char bytes[32];
  char text[2 * sizeof bytes];
  if (__wasi_random_get(bytes, sizeof bytes) != 0) return fail("no random numbers");
  for (size_t i = 0; i < sizeof text; i++) text[i] = "0123456789abcdef"[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
  return perl_text(text, sizeof text);
}

EXPORT(call_host_function) struct value *call_host_function(int32_t id, int32_t count, struct value **arguments) {
  size_t size;
  if (count != (id == CALL ? 2 : id == OUTPUT)) return fail("an engine function takes other arguments");
  switch (id) {
  case CODEC:
    return perl_text(codec, sizeof codec);
  case INPUT: {
    char *input = door_input(&size);
    return give(input, size);
  }
  case OUTPUT: {
    const char *output = perl_bytes(arguments[0], &size);
    door_output(output, size);
    return NULL;
  }
  case CALL:
    return call(arguments[0], arguments[1]);
  default:
    return entropy();
  }
}

// evaluate runs code that catches its errors. What it cannot catch is that there is no memory left.
static int evaluate(const char *code) {
  if (perl_eval(code, 0, 0, NULL) != 0) door_exhausted();
  return 0;
}

EXPORT(riposte_load) int riposte_load(void) {
  static char name[] = "perl", *arguments[] = {name, NULL}; // its program comes from the standard input, which is empty
  if (perl_init(1, arguments) != 0) return 1;
  perl_register(CODEC, "Riposte::Engine::codec");
  perl_register(INPUT, "Riposte::Engine::input");
  perl_register(OUTPUT, "Riposte::Engine::output");
  perl_register(CALL, "Riposte::Engine::call");
  perl_register(ENTROPY, "Riposte::Engine::entropy");
  if (perl_eval(boot, 0, 0, NULL) != 0) return 2;
  return evaluate("Riposte::Engine::load()");
}

EXPORT(riposte_run) int riposte_run(void) { return evaluate("Riposte::Engine::run()"); }
