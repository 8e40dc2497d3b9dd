/* The conformance plugin in C. */
#include "riposte.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* same gives a member on. */
static void same(rp_call *call, rp_value *to, const rp_value *from, const char *name) { rp_set(call, to, name, rp_member(from, name)); }

static const char *base(rp_call *call) { return rp_text(call, rp_settings(call), "url"); }

static rp_value *echo(rp_call *call, const rp_value *p)
{
	rp_value *out = rp_object(call), *nested = rp_object(call), *list = rp_list(call);
	rp_text(call, p, "text");
	same(call, out, p, "text"); /* which may hold zero bytes */
	rp_set_integer(call, out, "number", rp_integer(call, p, "number"));
	rp_set_number(call, out, "ratio", rp_number(call, p, "ratio"));
	rp_set_bool(call, out, "flag", rp_bool(call, p, "flag"));
	for (const rp_value *v = rp_first(rp_array(call, p, "list")); v; v = rp_next(v))
		rp_add(call, list, v);
	rp_set(call, out, "list", list);
	rp_set_text(call, nested, "name", rp_text(call, rp_member_object(call, p, "nested"), "name"));
	rp_set(call, out, "nested", nested);
	return out;
}
RP_ACTION("echo", echo)

static rp_value *typed(rp_call *call, const rp_value *p)
{
	rp_value *out = rp_object(call);
	rp_set_text(call, out, "ip", rp_text(call, p, "ip"));
	rp_set_integer(call, out, "port", rp_integer(call, p, "port"));
	return out;
}
RP_ACTION("typed", typed)

static rp_value *parse(rp_call *call, const rp_value *p)
{
	const char *error = NULL;
	const rp_value *v = rp_parse(call, rp_value_text(rp_member(p, "text")), &error);
	rp_value *out = rp_object(call);
	rp_set(call, out, "value", v);
	return error ? rp_fail(call, RP_INVALID, error, "") : out;
}
RP_ACTION("parse", parse)

static rp_value *settings(rp_call *call, const rp_value *p)
{
	rp_value *out = rp_object(call);
	(void)p;
	for (const rp_value *m = rp_first(rp_settings(call)); m; m = rp_next(m))
		rp_set(call, out, rp_name(m), m);
	return out;
}
RP_ACTION("settings", settings)

static rp_value *context(rp_call *call, const rp_value *p)
{
	const rp_context *c = rp_about(call);
	rp_value *out = rp_object(call);
	(void)p;
	rp_set_text(call, out, "action", c->action);
	rp_set_text(call, out, "invocation", c->invocation);
	rp_set_text(call, out, "incident", c->incident);
	rp_set_text(call, out, "run", c->run);
	rp_set_text(call, out, "step", c->step);
	rp_set_text(call, out, "now", c->now);
	rp_set_integer(call, out, "deadline_ms", c->deadline_ms);
	return out;
}
RP_ACTION("context", context)

static rp_value *dice(rp_call *call, const rp_value *p)
{
	unsigned char bytes[16];
	char text[33];
	(void)p;
	rp_random(call, bytes, sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return rp_text_value(call, rp_format(call, "%s", text));
}
RP_ACTION("dice", dice)

static rp_value *clock_(rp_call *call, const rp_value *p)
{
	const uint64_t now = 1767323045000000000u; /* of the trials */
	uint64_t first = rp_clock(call), second = rp_clock(call);
	rp_value *out = rp_object(call);
	(void)p;
	rp_set_bool(call, out, "since_now", first >= now && first < now + 1000000000);
	rp_set_bool(call, out, "goes_on", second > first);
	return out;
}
RP_ACTION("clock", clock_)

static int calls;

static rp_value *count(rp_call *call, const rp_value *p) { return (void)p, rp_number_value(call, ++calls); }
RP_ACTION("count", count)

static uint32_t sum(rp_bytes b)
{
	uint32_t s = 0;
	for (size_t i = 0; i < b.length; i += 61)
		s = s * 31 + (unsigned char)b.at[i];
	return s;
}

static rp_bytes body_of(rp_call *call, const rp_value *p)
{
	return rp_member(p, "base64") ? rp_base64(call, p, "base64") : rp_bytes_of(rp_text_or(call, p, "text", ""));
}

static rp_value *fetch(rp_call *call, const rp_value *p)
{
	rp_bytes body = rp_member(p, "base64") ? rp_base64(call, p, "base64") : rp_value_text(rp_member(p, "text"));
	rp_response *got = rp_http(call, (rp_request){.capability = rp_text_or(call, p, "capability", "api"), .method = rp_text(call, p, "method"),
		.url = rp_format(call, "%s%s", base(call), rp_text(call, p, "path")), .headers = rp_member(p, "headers"), .body = body,
		.timeout_ms = rp_integer_or(call, p, "timeout_ms", 0)});
	if (!got)
		return NULL;
	rp_value *out = rp_object(call);
	rp_set_integer(call, out, "status", got->status);
	rp_set_text(call, out, "type", rp_header(got, "Content-Type"));
	rp_set_integer(call, out, "length", (int64_t)got->body.length);
	rp_set_integer(call, out, "sum", sum(got->body));
	return out;
}
RP_ACTION("fetch", fetch)

static rp_value *get_json(rp_call *call, const rp_value *p)
{
	const rp_value *found = rp_json(call, rp_get(call, "api", rp_format(call, "%s%s", base(call), rp_text(call, p, "path"))));
	rp_value *out = rp_object(call);
	rp_set_text(call, out, "name", rp_text(call, found, "name"));
	rp_set_integer(call, out, "age", rp_integer(call, found, "age"));
	return out;
}
RP_ACTION("get-json", get_json)

static rp_value *post_json(rp_call *call, const rp_value *p)
{
	rp_value *posted = rp_object(call), *out = rp_object(call);
	rp_set(call, posted, "list", rp_array(call, p, "list"));
	rp_set_text(call, posted, "text", rp_text(call, p, "text"));
	const rp_value *got = rp_json(call, rp_post_json(call, "api", rp_format(call, "%s/mirror", base(call)), posted));
	for (const rp_value *m = rp_first(got); m; m = rp_next(m))
		rp_set(call, out, rp_name(m), m);
	return out;
}
RP_ACTION("post-json", post_json)

static rp_value *post_form(rp_call *call, const rp_value *p)
{
	const rp_value *got = rp_json(call, rp_post_form(call, "api", rp_format(call, "%s/mirror", base(call)), rp_text(call, p, "fields")));
	rp_value *out = rp_object(call);
	for (const rp_value *m = rp_first(got); m; m = rp_next(m))
		rp_set(call, out, rp_name(m), m);
	return out;
}
RP_ACTION("post-form", post_form)

static rp_value *resolve(rp_call *call, const rp_value *p)
{
	const rp_value *got = rp_resolve(call, "names", rp_text(call, p, "name"), rp_text(call, p, "type"));
	rp_value *out = rp_object(call);
	same(call, out, got, "rcode");
	same(call, out, got, "records");
	return out;
}
RP_ACTION("resolve", resolve)

static rp_value *exchange(rp_call *call, const rp_value *p)
{
	rp_bytes received = rp_exchange(call, "line", rp_text_or(call, p, "address", rp_text(call, rp_settings(call), "line")), body_of(call, p));
	rp_value *out = rp_object(call);
	rp_set_integer(call, out, "length", (int64_t)received.length);
	rp_set_integer(call, out, "sum", sum(received));
	rp_set_bool(call, out, "truncated", received.truncated);
	return out;
}
RP_ACTION("exchange", exchange)

static rp_value *query(rp_call *call, const rp_value *p)
{
	const rp_value *got = rp_query(call, "inventory", rp_text(call, p, "statement"), rp_member(p, "params"));
	rp_value *out = rp_object(call);
	same(call, out, got, "columns");
	same(call, out, got, "rows");
	rp_set_bool(call, out, "truncated", rp_bool_or(call, got, "truncated", false));
	return out;
}
RP_ACTION("query", query)

static rp_value *send_(rp_call *call, const rp_value *p) { return rp_text_value(call, rp_send_mail(call, "relay", p)); }
RP_ACTION("send", send_)

static rp_value *keep(rp_call *call, const rp_value *p)
{
	const char *key = rp_text(call, p, "key");
	const rp_value *from = rp_member_object(call, p, "value");
	rp_value *note = rp_object(call), *out = rp_object(call);
	rp_set_integer(call, note, "count", rp_integer(call, from, "count"));
	rp_set_text(call, note, "name", rp_text(call, from, "name"));
	rp_set(call, note, "tags", rp_array(call, from, "tags"));
	rp_set_bool(call, out, "before", rp_kv_get(call, key) != NULL);
	rp_kv_put(call, key, note, rp_integer(call, p, "ttl_s"));
	rp_set(call, out, "value", rp_kv_get(call, key));
	rp_kv_delete(call, key);
	rp_set_bool(call, out, "after", rp_kv_get(call, key) != NULL);
	return out;
}
RP_ACTION("keep", keep)

static const char *xs(rp_call *call, int64_t n)
{
	char *text = rp_alloc(call, (size_t)n + 1);
	memset(text, 'x', (size_t)n);
	text[n] = 0;
	return text;
}

static rp_value *put(rp_call *call, const rp_value *p)
{
	rp_kv_put(call, rp_text(call, p, "key"), rp_text_value(call, xs(call, rp_integer(call, p, "bytes"))), 0);
	return rp_bool_value(call, true);
}
RP_ACTION("put", put)

static rp_value *knock(rp_call *call, const rp_value *p)
{
	int64_t times = rp_integer(call, p, "times");
	for (int64_t i = 0; i < times && !rp_failed(call); i++)
		rp_kv_get(call, "door");
	return rp_number_value(call, (double)times);
}
RP_ACTION("knock", knock)

static rp_value *write_(rp_call *call, const rp_value *p)
{
	const char *message = rp_text(call, p, "message");
	rp_value *fields = rp_object(call);
	rp_set_text(call, fields, "text", message);
	rp_set_integer(call, fields, "count", 3);
	rp_log(call, "debug", message, NULL);
	rp_info(call, message);
	rp_warn(call, message);
	rp_log(call, "error", message, fields);
	return rp_number_value(call, 4);
}
RP_ACTION("write", write_)

static rp_value *emit(rp_call *call, const rp_value *p)
{
	const char *verdict = rp_text(call, p, "verdict"), *note = rp_text(call, p, "note");
	rp_artifact(call, "ip", rp_text(call, p, "ip"), verdict, note);
	rp_evidence(call, "dump.bin", "application/octet-stream", rp_base64(call, p, "base64"));
	rp_finding(call, rp_text(call, p, "sentence"), verdict, note);
	return rp_bool_value(call, true);
}
RP_ACTION("emit", emit)

static rp_value *fail(rp_call *call, const rp_value *p)
{
	return rp_fail_with(call, (rp_fault){rp_text(call, p, "kind"), rp_text(call, p, "message"), rp_text_or(call, p, "hint", ""), rp_text_or(call, p, "where", ""),
		rp_bool_or(call, p, "retryable", false), rp_integer_or(call, p, "retry_after_ms", 0)});
}
RP_ACTION("fail", fail)

static rp_value *catch (rp_call *call, const rp_value *p)
{
	rp_get(call, "api", rp_format(call, "%s%s", base(call), rp_text(call, p, "path")));
	const rp_fault *f = rp_caught(call);
	if (!f)
		return rp_fail(call, RP_FAILED, "there was no fault", "");
	rp_value *out = rp_object(call);
	rp_set_text(call, out, "kind", f->kind);
	rp_set_text(call, out, "message", f->message);
	rp_set_text(call, out, "hint", f->hint);
	rp_set_text(call, out, "where", f->where);
	rp_set_bool(call, out, "retryable", f->retryable);
	rp_set_integer(call, out, "retry_after_ms", f->retry_after_ms);
	return out;
}
RP_ACTION("catch", catch)

static rp_value *crash(rp_call *call, const rp_value *p)
{
	(void)p;
	static const int list[] = {1};
	static volatile size_t index = 7;
	assert(index < sizeof list / sizeof *list);
	return rp_number_value(call, list[index]);
}
RP_ACTION("crash", crash)

static volatile double step = 1;

__attribute__((noinline)) static double deeper(double n) { return n < 0 ? n : n + deeper(n + step); }

static rp_value *recurse(rp_call *call, const rp_value *p) { return (void)p, rp_number_value(call, deeper(1)); }
RP_ACTION("recurse", recurse)

__attribute__((noinline)) static double dig_deeper(volatile double *above)
{
	volatile double here[16] = {*above + step};
	return here[0] < 0 ? 0 : here[0] + dig_deeper(here);
}

static rp_value *dig(rp_call *call, const rp_value *p)
{
	volatile double start = 1;
	return (void)p, rp_number_value(call, dig_deeper(&start));
}
RP_ACTION("dig", dig)

static rp_value *devour(rp_call *call, const rp_value *p)
{
	(void)p;
	for (;;)
		memset(rp_alloc(call, 1 << 20), 1, 1 << 20);
}
RP_ACTION("devour", devour)

static rp_value *spin(rp_call *call, const rp_value *p)
{
	(void)p;
	for (volatile uint64_t n = 1; n; n++)
		;
	return rp_null(call);
}
RP_ACTION("spin", spin)

static rp_value *flood(rp_call *call, const rp_value *p) { return rp_text_value(call, xs(call, rp_integer(call, p, "bytes"))); }
RP_ACTION("flood", flood)

static rp_value *lie(rp_call *call, const rp_value *p)
{
	rp_value *out = rp_object(call);
	(void)p;
	rp_set_text(call, out, "score", "high");
	return out;
}
RP_ACTION("lie", lie)

static rp_value *check(rp_call *call, const rp_value *p)
{
	(void)p;
	rp_expect(call, rp_get(call, "api", rp_format(call, "%s/person", base(call))));
	return rp_bool_value(call, true);
}
RP_ACTION("check", check)

static rp_value *describe(rp_call *call, const rp_value *p)
{
	rp_value *out = rp_object(call);
	(void)p;
	rp_set_text(call, out, "plugin", "conformance");
	return out;
}
RP_ACTION("describe", describe)
