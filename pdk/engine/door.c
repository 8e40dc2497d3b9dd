#include "door.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))

IMPORT("extism:host/env", "input_offset") uint64_t block_input(void);
IMPORT("extism:host/env", "output_set") void block_output(uint64_t handle, uint64_t size);
IMPORT("extism:host/env", "length") uint64_t block_length(uint64_t handle);
IMPORT("extism:host/env", "free") void block_free(uint64_t handle);
IMPORT("riposte:mem/v1", "read") void block_read(uint64_t handle, void *to);
IMPORT("riposte:mem/v1", "write") uint64_t block_write(const void *from, uint32_t size);

// The host functions of abi.Functions: handle of a request in, handle of a reply out.
#define DOORS(door)                    \
  door("http", fetch, http_fetch)      \
  door("dns", resolve, dns_resolve)    \
  door("tcp", exchange, tcp_exchange)  \
  door("sql", query, sql_query)        \
  door("mail", send, mail_send)        \
  door("kv", get, kv_get)              \
  door("kv", put, kv_put)              \
  door("kv", delete, kv_delete)        \
  door("log", write, log_write)        \
  door("emit", artifact, emit_artifact)\
  door("emit", evidence, emit_evidence)\
  door("emit", finding, emit_finding)

#define DECLARE(kind, op, function) IMPORT("riposte:" kind "/v1", #op) uint64_t function(uint64_t request);
DOORS(DECLARE)

static const struct {
  const char *name;
  uint64_t (*function)(uint64_t);
} doors[] = {
#define ENTRY(kind, op, function) {kind "." #op, function},
    DOORS(ENTRY)};

// take copies a block out of the host and frees it.
static char *take(uint64_t handle, size_t *size) {
  *size = (size_t)block_length(handle);
  char *copy = malloc(*size + 1);
  if (copy == NULL) return NULL;
  if (*size > 0) {
    block_read(handle, copy);
    block_free(handle);
  }
  copy[*size] = 0;
  return copy;
}

char *door_input(size_t *size) { return take(block_input(), size); }

void door_output(const char *output, size_t size) { block_output(block_write(output, (uint32_t)size), size); }

void door_exhausted(void) {
  static const char output[] = "{\"fault\":{\"kind\":\"limit\",\"message\":\"the plugin ran out of memory or stack\"}}";
  door_output(output, sizeof output - 1);
}

enum door_state door_call(const char *fn, const char *request, size_t size, char **reply, size_t *reply_size) {
  for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
    if (strcmp(doors[i].name, fn) != 0) continue;
    uint64_t handle = block_write(request, (uint32_t)size);
    uint64_t answer = doors[i].function(handle);
    block_free(handle);
    *reply = take(answer, reply_size);
    return *reply == NULL ? DOOR_MEMORY : DOOR_OK;
  }
  return DOOR_UNKNOWN;
}
