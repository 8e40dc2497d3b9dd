/* What makes HTTP pleasant: JSON, forms, statuses that are faults. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

rp_response *rp_get(rp_call *call, const char *capability, const char *url)
{
	return rp_http(call, (rp_request){.capability = capability, .url = url});
}

rp_response *rp_delete(rp_call *call, const char *capability, const char *url)
{
	return rp_http(call, (rp_request){.capability = capability, .method = "DELETE", .url = url});
}

rp_response *rp_post_json(rp_call *call, const char *capability, const char *url, const rp_value *value)
{
	return rp_send_json(call, capability, "POST", url, value);
}

rp_response *rp_send_json(rp_call *call, const char *capability, const char *method, const char *url, const rp_value *value)
{
	rp_value *headers = rp_object(call);
	rp_set_text(call, headers, "content-type", "application/json");
	rp_set_text(call, headers, "accept", "application/json");
	return rp_http(call, (rp_request){.capability = capability, .method = method, .url = url, .headers = headers, .body = rp_write(call, value)});
}

rp_response *rp_post_form(rp_call *call, const char *capability, const char *url, const char *fields)
{
	rp_value *headers = rp_object(call);
	rp_set_text(call, headers, "content-type", "application/x-www-form-urlencoded");
	return rp_http(call, (rp_request){.capability = capability, .method = "POST", .url = url, .headers = headers, .body = rp_bytes_of(fields)});
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c; }

const char *rp_header(const rp_response *response, const char *name)
{
	for (const rp_value *m = response ? rp_first(response->headers) : NULL; m; m = rp_next(m)) {
		size_t i = 0;
		while (name[i] && lower(name[i]) == rp_name(m)[i])
			i++;
		if (!name[i] && !rp_name(m)[i])
			return rp_type_of(m) == RP_TEXT ? rp_value_text(m).at : "";
	}
	return "";
}

/* excerpt is the beginning of a body, for a person to read: words with one blank between. */
static const char *excerpt(rp_call *call, rp_bytes body)
{
	enum { most = 200 };
	rp_buffer b = {.call = call};
	if (body.length > 4 * most)
		body.length = 4 * most;
	bool blank = false;
	for (size_t i = 0, n; i < body.length; i += n) {
		rp_bytes one = {.at = body.at + i, .length = 1};
		for (n = 1; n <= 4 && i + n <= body.length && !rp_is_utf8(one); one.length = ++n)
			;
		if (i + n > body.length || !rp_is_utf8(one)) {
			n = 1; /* no UTF-8: left out */
			continue;
		}
		bool space = (n == 1 && strchr(" \t\n\v\f\r", *one.at)) || (n == 2 && (memcmp(one.at, "\xc2\x85", 2) == 0 || memcmp(one.at, "\xc2\xa0", 2) == 0)) ||
			(n == 3 && (memcmp(one.at, "\xe1\x9a\x80", 3) == 0 || memcmp(one.at, "\xe3\x80\x80", 3) == 0 || memcmp(one.at, "\xe2\x81\x9f", 3) == 0 ||
				(memcmp(one.at, "\xe2\x80", 2) == 0 && (((unsigned char)one.at[2] <= 0x8a) || memcmp(one.at + 2, "\xa8", 1) == 0 || memcmp(one.at + 2, "\xa9", 1) == 0 || memcmp(one.at + 2, "\xaf", 1) == 0))));
		if (!space) {
			if (blank && b.length)
				rp_append(&b, " ", 1);
			rp_append(&b, one.at, n);
		}
		blank = space || (blank && !b.length);
	}
	if (!b.length)
		return "";
	if (b.length <= most)
		return rp_format(call, ": %s", b.at);
	size_t end = most;
	while (end && ((unsigned char)b.at[end] & 0xc0) == 0x80)
		end--;
	return rp_format(call, ": %.*s …", (int)end, b.at);
}

/* Days since 1970 in the Gregorian calendar, counted in years that begin in March. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
	year -= month <= 2;
	return 365 * year + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1 - 719468;
}

static int64_t milliseconds(int year, int month, int day, int hour, int minute, int second)
{
	return (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
}

/* http_date reads a time such as Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110, section 5.6.7); -1 is none. */
static int64_t http_date(const char *text)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4] = "", zone[4] = "";
	int day, year, hour, minute, second;
	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d %3[A-Z]", &day, month, &year, &hour, &minute, &second, zone) != 7 || strcmp(zone, "GMT") != 0)
		return -1;
	const char *found = strlen(month) == 3 ? strstr(months, month) : NULL;
	return found ? milliseconds(year, (int)(found - months) / 3 + 1, day, hour, minute, second) : -1;
}

/* retry_after reads the header in milliseconds; a date counts from the server's own Date, or else from the time of the call. */
static int64_t retry_after(rp_call *call, const rp_response *response)
{
	const char *value = rp_header(response, "retry-after");
	char *end;
	long seconds = strtol(value, &end, 10);
	if (*value && !*end)
		return seconds > 0 && seconds < 1L << 30 ? (int64_t)seconds * 1000 : 0;
	int64_t until = http_date(value), from = http_date(rp_header(response, "date"));
	if (until < 0)
		return 0;
	if (from < 0) {
		int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
		sscanf(rp_about(call)->now, "%4d-%2d-%2dT%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second);
		from = milliseconds(year, month, day, hour, minute, second);
	}
	return until > from ? until - from : 0;
}

rp_response *rp_expect(rp_call *call, rp_response *response)
{
	static const struct {
		int status;
		const char *kind;
	} kinds[] = {{401, RP_UNAUTHORIZED}, {403, RP_UNAUTHORIZED}, {404, RP_NOT_FOUND}, {408, RP_TIMEOUT}, {409, RP_CONFLICT}, {413, RP_TOO_LARGE}, {429, RP_RATE_LIMITED}};
	if (!response || (response->status >= 200 && response->status < 300))
		return response;
	const char *kind = response->status >= 500 ? RP_UNAVAILABLE : RP_FAILED, *hint = "";
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].status == response->status)
			kind = kinds[i].kind;
	if (strcmp(kind, RP_UNAUTHORIZED) == 0)
		hint = "check the credentials in the connector's settings, and what they are allowed to do";
	const char *message = rp_format(call, "the other side answered %d%s", response->status, excerpt(call, response->body));
	const rp_fault *before = rp_caught(call);
	rp_fail(call, kind, message, hint);
	rp_fault fault = *rp_caught(call);
	fault.retry_after_ms = retry_after(call, response);
	return rp_fail_with(call, before ? *before : fault);
}

const rp_value *rp_json(rp_call *call, rp_response *response)
{
	if (!rp_expect(call, response))
		return NULL;
	const char *error = NULL;
	const rp_value *v = rp_parse(call, response->body, &error);
	if (!error)
		return rp_foreign(v);
	return rp_fail(call, RP_UNAVAILABLE, rp_format(call, "the other side answered something else than the expected JSON: %s", error),
		"check the address in the connector's settings");
}
