/*
 * The kit for Riposte plugins in C. An action is a function, and a line that exports it under the action's name:
 *
 *   #include "riposte.h"
 *
 *   static rp_value *block(rp_call *call, const rp_value *p)
 *   {
 *       rp_value *body = rp_object(call), *result = rp_object(call);
 *       rp_set_text(call, body, "ip", rp_text(call, p, "ip"));
 *       const char *url = rp_format(call, "%s/block", rp_text(call, rp_settings(call), "url"));
 *       rp_expect(call, rp_post_json(call, "api", url, body));
 *       rp_set_bool(call, result, "present", true);
 *       return result;
 *   }
 *   RP_ACTION("block-ip", block)
 *
 * There is nothing to free and little to check. The first fault stays with the call: from then on whatever asks the host does nothing and gives
 * NULL or nothing, every function takes NULL for nothing, and the fault is what the action comes to. Whoever wants to go on after a fault takes
 * it with rp_caught; a loop that asks the host ends with rp_failed.
 *
 * Texts are UTF-8 and end with a zero byte. The same functions run in unit tests on any system, through rp_try.
 */
#ifndef RIPOSTE_H
#define RIPOSTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the kit; bills of materials name it. */
#define RIPOSTE_VERSION "0.1.0"

/* The kinds of faults. */
#define RP_INVALID "invalid"           /* the input breaks a schema or a rule; repeating it is useless */
#define RP_REFUSED "refused"           /* a right, a guard or a policy forbids it */
#define RP_UNAUTHORIZED "unauthorized" /* the other side did not accept our credentials */
#define RP_NOT_FOUND "not_found"       /* what was asked for does not exist */
#define RP_CONFLICT "conflict"         /* the state changed, or exists already */
#define RP_TOO_LARGE "too_large"       /* a size limit was passed */
#define RP_RATE_LIMITED "rate_limited" /* the other side or a quota says: later */
#define RP_UNAVAILABLE "unavailable"   /* the other side could not be reached or is failing */
#define RP_TIMEOUT "timeout"           /* a deadline passed */
#define RP_LIMIT "limit"               /* a limit of the guest's is used up */
#define RP_FAILED "failed"             /* the action says that it did not succeed */
#define RP_IN_DOUBT "in_doubt"         /* a write may or may not have happened; a person must look */
#define RP_INTERNAL "internal"         /* a defect of the host */

typedef struct rp_call rp_call;   /* one invocation of an action */
typedef struct rp_value rp_value; /* a JSON value */

/* An error. Texts are never NULL. */
typedef struct {
	const char *kind, *message;
	const char *hint;  /* what a person can do about it */
	const char *where; /* a JSON path, or file:line:column */
	bool retryable;    /* the same call may succeed later */
	int64_t retry_after_ms;
} rp_fault;

/* Bytes; at is NULL if there are none. */
typedef struct {
	const char *at;
	size_t length;
	bool truncated; /* of an exchange: there was more than the grant allows */
} rp_bytes;

/* A request. Method GET if NULL; headers is an object of texts or NULL; a body of length 0 is none; timeout_ms 0 is as long as the call may take. */
typedef struct {
	const char *capability, *method, *url;
	const rp_value *headers;
	rp_bytes body;
	int64_t timeout_ms;
} rp_request;

typedef struct {
	int status;
	rp_bytes body;
	const rp_value *headers; /* names in lower case; several values are joined by ", " */
} rp_response;

/* What a call works for; the same in a replay. now is RFC 3339 and does not advance: rp_clock does. */
typedef struct {
	const char *action, *invocation, *incident, *run, *step, *now;
	int64_t deadline_ms;
} rp_context;

typedef rp_value *(*rp_handler)(rp_call *call, const rp_value *parameters);

int rp_run(rp_handler handler);

/* RP_ACTION exports a function as an action. */
#ifdef __wasm__
#define RP_ACTION(name, handler) \
	__attribute__((export_name(name))) int rp_export_##handler(void) { return rp_run(handler); }
#else
#define RP_ACTION(name, handler) \
	int rp_export_##handler(void) { return rp_run(handler); }
#endif

/* The call. */
const rp_context *rp_about(const rp_call *call);
const rp_value *rp_settings(rp_call *call); /* of the connector, without secrets: the host adds those to requests */
uint64_t rp_clock(rp_call *call);           /* nanoseconds since 1970, the same in a replay */
void rp_random(rp_call *call, void *to, size_t length);

/* Faults. rp_fail gives NULL, so that an action can return it. */
void *rp_fail(rp_call *call, const char *kind, const char *message, const char *hint);
void *rp_fail_with(rp_call *call, rp_fault fault);
bool rp_failed(const rp_call *call);
const rp_fault *rp_caught(rp_call *call); /* takes the fault, so that the call goes on; NULL if there is none */

/* HTTP under a capability of the manifest. Any status is a response; a fault says that there was none. */
rp_response *rp_http(rp_call *call, rp_request request);
rp_response *rp_get(rp_call *call, const char *capability, const char *url);
rp_response *rp_delete(rp_call *call, const char *capability, const char *url);
rp_response *rp_post_json(rp_call *call, const char *capability, const char *url, const rp_value *value);
rp_response *rp_send_json(rp_call *call, const char *capability, const char *method, const char *url, const rp_value *value);
rp_response *rp_post_form(rp_call *call, const char *capability, const char *url, const char *fields); /* which are encoded already */
const char *rp_header(const rp_response *response, const char *name); /* by its name in any case; "" if it is not there */
/* rp_expect takes a status of 2xx only. Any other is the fault that it stands for: 401 and 403 unauthorized, 404 not found, 409 conflict, 413 too
 * large, 429 rate limited with the wait of Retry-After (RFC 9110, section 10.2.3), 5xx unavailable, others failed. */
rp_response *rp_expect(rp_call *call, rp_response *response);
const rp_value *rp_json(rp_call *call, rp_response *response); /* the JSON of an answer with a status of 2xx */

/* The other capabilities. */
const rp_value *rp_resolve(rp_call *call, const char *capability, const char *name, const char *type); /* {rcode, records: [{name, type, ttl, value}]} */
rp_bytes rp_exchange(rp_call *call, const char *capability, const char *address, rp_bytes send);
const rp_value *rp_query(rp_call *call, const char *capability, const char *statement, const rp_value *params); /* {columns, rows, affected, truncated} */
const char *rp_send_mail(rp_call *call, const char *capability, const rp_value *mail); /* of {to, cc, subject, text, html}: its Message-ID */
const rp_value *rp_kv_get(rp_call *call, const char *key); /* NULL if nothing is kept */
void rp_kv_put(rp_call *call, const char *key, const rp_value *value, int64_t ttl_s); /* for good if ttl_s is 0 */
void rp_kv_delete(rp_call *call, const char *key);

/* What the incident and people get. Verdict is benign, suspicious, malicious, unknown or NULL. */
void rp_artifact(rp_call *call, const char *kind, const char *value, const char *verdict, const char *note);
void rp_evidence(rp_call *call, const char *name, const char *media_type, rp_bytes data);
void rp_finding(rp_call *call, const char *sentence, const char *verdict, const char *note);
void rp_log(rp_call *call, const char *level, const char *message, const rp_value *fields); /* debug, info, warn, error */
void rp_info(rp_call *call, const char *message);
void rp_warn(rp_call *call, const char *message);

/* Reading of values. What is missing or of another type is a fault that names the place; those that end in _or give otherwise for what is missing. */
typedef enum { RP_NULL, RP_BOOL, RP_NUMBER, RP_TEXT, RP_ARRAY, RP_OBJECT } rp_type;
rp_type rp_type_of(const rp_value *value); /* RP_NULL for NULL */
const rp_value *rp_member(const rp_value *object, const char *name); /* NULL if there is none */
const rp_value *rp_first(const rp_value *container);                 /* the first element or member, NULL if there is none */
const rp_value *rp_next(const rp_value *value);                      /* that behind it */
const char *rp_name(const rp_value *member);
size_t rp_count(const rp_value *container);
const char *rp_text(rp_call *call, const rp_value *object, const char *name);
const char *rp_text_or(rp_call *call, const rp_value *object, const char *name, const char *otherwise);
int64_t rp_integer(rp_call *call, const rp_value *object, const char *name);
int64_t rp_integer_or(rp_call *call, const rp_value *object, const char *name, int64_t otherwise);
double rp_number(rp_call *call, const rp_value *object, const char *name);
bool rp_bool(rp_call *call, const rp_value *object, const char *name);
bool rp_bool_or(rp_call *call, const rp_value *object, const char *name, bool otherwise);
const rp_value *rp_array(rp_call *call, const rp_value *object, const char *name);
const rp_value *rp_member_object(rp_call *call, const rp_value *object, const char *name);
rp_bytes rp_base64(rp_call *call, const rp_value *object, const char *name); /* none if it is missing */
rp_bytes rp_value_text(const rp_value *text);                               /* a text with its length: it may hold zero bytes */

/* Making of values. They live as long as the call. A value that is put into another one is copied if it lies in one already. */
rp_value *rp_null(rp_call *call);
rp_value *rp_bool_value(rp_call *call, bool b);
rp_value *rp_number_value(rp_call *call, double n);
rp_value *rp_text_value(rp_call *call, const char *text);
rp_value *rp_object(rp_call *call);
rp_value *rp_list(rp_call *call);
void rp_set(rp_call *call, rp_value *object, const char *name, const rp_value *value);
void rp_set_text(rp_call *call, rp_value *object, const char *name, const char *text);
void rp_set_bytes(rp_call *call, rp_value *object, const char *name, rp_bytes bytes); /* as base64 */
void rp_set_integer(rp_call *call, rp_value *object, const char *name, int64_t n);
void rp_set_number(rp_call *call, rp_value *object, const char *name, double n);
void rp_set_bool(rp_call *call, rp_value *object, const char *name, bool b);
void rp_add(rp_call *call, rp_value *list, const rp_value *value);

/* Reading and writing of JSON, and texts. rp_parse gives NULL for what is no JSON, and sets *error to what is wrong with it. */
enum { RP_MAX_DEPTH = 100 }; /* of arrays and objects within each other */
const rp_value *rp_parse(rp_call *call, rp_bytes json, const char **error);
rp_bytes rp_write(rp_call *call, const rp_value *value);
const char *rp_format(rp_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
rp_bytes rp_bytes_of(const char *text); /* its bytes, without the zero at its end */
void *rp_alloc(rp_call *call, size_t size); /* lives as long as the call */

/*
 * rp_try calls an action in a unit test, without a sandbox. settings and parameters are JSON; host answers what the action asks: function is a name
 * such as http.fetch, request its JSON, and the answer that of a reply, {"value": …} or {"fault": …}. The result is {"output": …} or {"fault": …},
 * to be freed. The time of the call is 2026-01-02 03:04:05 UTC.
 */
typedef const char *(*rp_stub)(const char *function, const char *request);
char *rp_try(rp_handler handler, const char *settings, const char *parameters, rp_stub host);

#endif
