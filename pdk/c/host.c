/* The imports of a guest, and what stands in for them on other systems. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

#ifdef __wasm__

RP_IMPORT("extism:host/env", "input_offset") uint64_t input_offset(void);
RP_IMPORT("extism:host/env", "length") uint64_t block_length(uint64_t handle);
RP_IMPORT("extism:host/env", "free") void block_free(uint64_t handle);
RP_IMPORT("extism:host/env", "output_set") void output_set(uint64_t handle, uint64_t length);
RP_IMPORT("riposte:mem/v1", "read") void memory_read(uint64_t handle, void *to);
RP_IMPORT("riposte:mem/v1", "write") uint64_t memory_write(const void *from, size_t length);
RP_IMPORT("wasi_snapshot_preview1", "clock_time_get") uint32_t clock_time(uint32_t id, uint64_t precision, uint64_t *time);
RP_IMPORT("wasi_snapshot_preview1", "random_get") uint32_t random_bytes(void *to, size_t length);

/* block copies a block out of the host and frees it. */
static rp_bytes block(rp_call *call, uint64_t handle)
{
	size_t n = (size_t)block_length(handle);
	char *at = rp_alloc(call, n + 1);
	if (n) {
		memory_read(handle, at);
		block_free(handle);
	}
	at[n] = 0;
	return (rp_bytes){.at = at, .length = n};
}

rp_bytes rp_host_input(rp_call *call) { return block(call, input_offset()); }

int rp_host_output(rp_bytes result)
{
	output_set(memory_write(result.at, result.length), result.length);
	return 0;
}

rp_bytes rp_host_exchange(rp_call *call, rp_door through, rp_bytes request)
{
	uint64_t handle = memory_write(request.at, request.length), reply = through(handle);
	block_free(handle);
	return block(call, reply);
}

uint64_t rp_host_clock(void)
{
	uint64_t time = 0;
	clock_time(0, 1000, &time);
	return time;
}

void rp_host_random(void *to, size_t length) { random_bytes(to, length); }

static bool warming;

bool rp_host_warming(void) { return warming; }

/* riposte_warm begins and ends the rehearsal of the actions, which the host does once, before it takes the state that every invocation begins
 * with. What it leaves is a heap with room, so that an ordinary call need not make the memory grow. */
__attribute__((export_name("riposte_warm"))) void rp_warm(void)
{
	warming = !warming;
	volatile char *room = malloc(256 << 10);
	if (room)
		room[0] = 0;
	free((void *)room);
}

#else /* outside of a sandbox there is no host: unit tests give answers of their own */

#include <time.h>

rp_bytes rp_host_input(rp_call *call) { return (void)call, (rp_bytes){0}; }
int rp_host_output(rp_bytes result) { return (void)result, 1; }
rp_bytes rp_host_exchange(rp_call *call, rp_door through, rp_bytes request) { return (void)call, (void)through, (void)request, (rp_bytes){0}; }
bool rp_host_warming(void) { return false; }
uint64_t rp_host_clock(void) { return (uint64_t)time(NULL) * 1000000000u; }
void rp_host_random(void *to, size_t length) { memset(to, 4, length); } /* chosen by fair dice roll: tests repeat themselves */

#define DOOR(name) uint64_t rp_door_##name(uint64_t request) { return request; }
DOOR(http_fetch) DOOR(dns_resolve) DOOR(tcp_exchange) DOOR(sql_query) DOOR(mail_send) DOOR(kv_get) DOOR(kv_put) DOOR(kv_delete)
DOOR(log_write) DOOR(emit_artifact) DOOR(emit_evidence) DOOR(emit_finding)

#endif
