/* The host functions. */
#include "kit.h"

#include <stdlib.h>
#include <string.h>

/* request begins one under a capability. */
static rp_value *request_for(rp_call *call, const char *capability)
{
	rp_value *v = rp_object(call);
	rp_set_text(call, v, "capability", capability);
	return v;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Base64 with padding (RFC 4648, section 4). */
void rp_set_bytes(rp_call *call, rp_value *object, const char *name, rp_bytes bytes)
{
	char *text = rp_alloc(call, bytes.length / 3 * 4 + 5), *to = text;
	for (size_t i = 0; i < bytes.length; i += 3) {
		size_t n = bytes.length - i < 3 ? bytes.length - i : 3;
		uint32_t word = 0;
		for (size_t k = 0; k < 3; k++)
			word = word << 8 | (k < n ? (unsigned char)bytes.at[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*to++ = k <= n ? digits[word >> (18 - 6 * k) & 63] : '=';
	}
	*to = 0;
	rp_set_text(call, object, name, text);
}

rp_bytes rp_base64(rp_call *call, const rp_value *object, const char *name)
{
	rp_bytes text = rp_bytes_of(rp_text_or(call, object, name, ""));
	char *bytes = rp_alloc(call, text.length / 4 * 3 + 4), *to = bytes;
	size_t n = text.length, bits = 0;
	uint32_t word = 0;
	while (n && text.length - n < 2 && text.at[n - 1] == '=')
		n--;
	bool ok = text.length % 4 == 0 && n % 4 != 1;
	for (size_t i = 0; i < n && ok; i++) {
		const char *digit = text.at[i] ? strchr(digits, text.at[i]) : NULL;
		ok = digit != NULL;
		word = word << 6 | (ok ? (uint32_t)(digit - digits) : 0);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*to++ = (char)(word >> bits);
		}
	}
	if (!ok)
		return rp_fail(call, RP_INVALID, rp_format(call, "%s is not base64", name), ""), (rp_bytes){0};
	return (rp_bytes){.at = bytes, .length = (size_t)(to - bytes)};
}

/* set_payload puts bytes into a request: as text where they are UTF-8. */
static void set_payload(rp_call *call, rp_value *object, const char *name, rp_bytes bytes)
{
	rp_value *payload = rp_object(call);
	if (rp_is_utf8(bytes)) {
		rp_value *text = rp_text_value(call, "");
		text->text = bytes;
		rp_set(call, payload, "text", text);
	} else
		rp_set_bytes(call, payload, "base64", bytes);
	rp_set(call, object, name, payload);
}

static rp_bytes payload(rp_call *call, const rp_value *v)
{
	return rp_member(v, "base64") ? rp_base64(call, v, "base64") : rp_value_text(rp_member(v, "text"));
}

rp_response *rp_http(rp_call *call, rp_request r)
{
	rp_value *v = request_for(call, r.capability);
	rp_set_text(call, v, "method", r.method ? r.method : "GET");
	rp_set_text(call, v, "url", r.url);
	if (r.headers)
		rp_set(call, v, "headers", r.headers);
	if (r.body.length)
		set_payload(call, v, "body", r.body);
	if (r.timeout_ms)
		rp_set_integer(call, v, "timeout_ms", r.timeout_ms);
	const rp_value *answer = rp_ask(call, "http.fetch", rp_door_http_fetch, v);
	if (!answer)
		return NULL;
	rp_response *response = rp_alloc(call, sizeof *response);
	*response = (rp_response){.status = (int)rp_integer(call, answer, "status"), .body = payload(call, rp_member(answer, "body")), .headers = rp_member(answer, "headers")};
	return response;
}

const rp_value *rp_resolve(rp_call *call, const char *capability, const char *name, const char *type)
{
	rp_value *v = request_for(call, capability);
	rp_set_text(call, v, "name", name);
	rp_set_text(call, v, "type", type);
	return rp_ask(call, "dns.resolve", rp_door_dns_resolve, v);
}

rp_bytes rp_exchange(rp_call *call, const char *capability, const char *address, rp_bytes send)
{
	rp_value *v = request_for(call, capability);
	rp_set_text(call, v, "address", address);
	set_payload(call, v, "send", send);
	const rp_value *answer = rp_ask(call, "tcp.exchange", rp_door_tcp_exchange, v);
	rp_bytes received = payload(call, rp_member(answer, "received"));
	received.truncated = rp_bool_or(call, answer, "truncated", false);
	return received;
}

const rp_value *rp_query(rp_call *call, const char *capability, const char *statement, const rp_value *params)
{
	rp_value *v = request_for(call, capability);
	rp_set_text(call, v, "statement", statement);
	if (params)
		rp_set(call, v, "params", params);
	return rp_ask(call, "sql.query", rp_door_sql_query, v);
}

const char *rp_send_mail(rp_call *call, const char *capability, const rp_value *mail)
{
	rp_value *v = request_for(call, capability);
	for (const rp_value *m = rp_first(mail); m; m = rp_next(m))
		rp_set(call, v, rp_name(m), m);
	return rp_text_or(call, rp_ask(call, "mail.send", rp_door_mail_send, v), "message_id", "");
}

static rp_value *key_of(rp_call *call, const char *key)
{
	rp_value *v = rp_object(call);
	rp_set_text(call, v, "key", key);
	return v;
}

const rp_value *rp_kv_get(rp_call *call, const char *key)
{
	const rp_value *answer = rp_ask(call, "kv.get", rp_door_kv_get, key_of(call, key));
	return rp_bool_or(call, answer, "found", false) ? rp_member(answer, "value") : NULL;
}

void rp_kv_put(rp_call *call, const char *key, const rp_value *value, int64_t ttl_s)
{
	rp_value *v = key_of(call, key);
	rp_set(call, v, "value", value);
	rp_set_integer(call, v, "ttl_s", ttl_s);
	rp_ask(call, "kv.put", rp_door_kv_put, v);
}

void rp_kv_delete(rp_call *call, const char *key) { rp_ask(call, "kv.delete", rp_door_kv_delete, key_of(call, key)); }

/* emission leaves out what is empty. */
static rp_value *emission(rp_call *call, const char *kind, const char *value, const char *verdict, const char *note)
{
	const struct {
		const char *name, *text;
	} members[] = {{"kind", kind}, {"value", value}, {"verdict", verdict}, {"note", note}};
	rp_value *v = rp_object(call);
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (members[i].text && *members[i].text)
			rp_set_text(call, v, members[i].name, members[i].text);
	return v;
}

void rp_artifact(rp_call *call, const char *kind, const char *value, const char *verdict, const char *note)
{
	rp_ask(call, "emit.artifact", rp_door_emit_artifact, emission(call, kind, value, verdict, note));
}

void rp_evidence(rp_call *call, const char *name, const char *media_type, rp_bytes data)
{
	rp_value *v = emission(call, media_type, "", "", "");
	rp_set_text(call, v, "name", name);
	rp_set_bytes(call, v, "data", data);
	rp_ask(call, "emit.evidence", rp_door_emit_evidence, v);
}

void rp_finding(rp_call *call, const char *sentence, const char *verdict, const char *note)
{
	rp_ask(call, "emit.finding", rp_door_emit_finding, emission(call, "", sentence, verdict, note));
}

/* A line that a quota refuses is lost, which is no concern of the plugin; and a plugin that has failed may still say so. */
void rp_log(rp_call *call, const char *level, const char *message, const rp_value *fields)
{
	const rp_fault *before = rp_caught(call);
	rp_value *v = rp_object(call);
	rp_set_text(call, v, "level", level);
	rp_set_text(call, v, "message", message);
	if (fields)
		rp_set(call, v, "fields", fields);
	rp_ask(call, "log.write", rp_door_log_write, v);
	rp_caught(call);
	if (before)
		rp_fail_with(call, *before);
}

void rp_info(rp_call *call, const char *message) { rp_log(call, "info", message, NULL); }
void rp_warn(rp_call *call, const char *message) { rp_log(call, "warn", message, NULL); }
