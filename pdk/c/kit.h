/* What the files of the kit share. Plugins include riposte.h only. */
#ifndef RIPOSTE_KIT_H
#define RIPOSTE_KIT_H

#include "riposte.h"

struct rp_value {
	rp_type type;
	double number; /* and 0 or 1 of a bool */
	rp_bytes text;
	rp_bytes name; /* of a member */
	size_t index;
	const rp_value *parent;
	bool foreign; /* of a root: the other side wrote the document, so what is wrong with it is not the caller's fault */
	rp_value *first, *last, *next;
};

/* A door is an import of the module: the handle of a request in, that of a reply out. Each function goes through its own, so that a module
 * imports only what its code can reach. */
typedef uint64_t (*rp_door)(uint64_t request);

typedef struct {
	rp_call *call;
	char *at;
	size_t length, room;
} rp_buffer;

void rp_append(rp_buffer *b, const char *text, size_t length);
char *rp_copy(rp_call *call, rp_bytes text); /* with a zero byte at its end */
void rp_write_to(rp_buffer *b, const rp_value *v);
bool rp_is_utf8(rp_bytes b);
size_t rp_put_rune(char *to, uint32_t c);

/* rp_foreign marks a document that the other side wrote. */
const rp_value *rp_foreign(const rp_value *root);

/* rp_ask calls a host function; NULL if there was a fault. */
const rp_value *rp_ask(rp_call *call, const char *function, rp_door through, const rp_value *request);

/* The host, or what stands in for it. */
rp_bytes rp_host_input(rp_call *call);
int rp_host_output(rp_bytes result);
rp_bytes rp_host_exchange(rp_call *call, rp_door through, rp_bytes request);
bool rp_host_warming(void);
uint64_t rp_host_clock(void);
void rp_host_random(void *to, size_t length);

#ifdef __wasm__
#define RP_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#else
#define RP_IMPORT(module, name)
#endif
RP_IMPORT("riposte:http/v1", "fetch") uint64_t rp_door_http_fetch(uint64_t request);
RP_IMPORT("riposte:dns/v1", "resolve") uint64_t rp_door_dns_resolve(uint64_t request);
RP_IMPORT("riposte:tcp/v1", "exchange") uint64_t rp_door_tcp_exchange(uint64_t request);
RP_IMPORT("riposte:sql/v1", "query") uint64_t rp_door_sql_query(uint64_t request);
RP_IMPORT("riposte:mail/v1", "send") uint64_t rp_door_mail_send(uint64_t request);
RP_IMPORT("riposte:kv/v1", "get") uint64_t rp_door_kv_get(uint64_t request);
RP_IMPORT("riposte:kv/v1", "put") uint64_t rp_door_kv_put(uint64_t request);
RP_IMPORT("riposte:kv/v1", "delete") uint64_t rp_door_kv_delete(uint64_t request);
RP_IMPORT("riposte:log/v1", "write") uint64_t rp_door_log_write(uint64_t request);
RP_IMPORT("riposte:emit/v1", "artifact") uint64_t rp_door_emit_artifact(uint64_t request);
RP_IMPORT("riposte:emit/v1", "evidence") uint64_t rp_door_emit_evidence(uint64_t request);
RP_IMPORT("riposte:emit/v1", "finding") uint64_t rp_door_emit_finding(uint64_t request);

#endif
