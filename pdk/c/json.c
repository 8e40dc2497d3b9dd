/* JSON (RFC 8259): values, a strict reader and a writer. */
#include "kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rp_value *make(rp_call *call, rp_type type)
{
	rp_value *v = rp_alloc(call, sizeof *v);
	memset(v, 0, sizeof *v);
	v->type = type;
	return v;
}

rp_value *rp_null(rp_call *call) { return make(call, RP_NULL); }
rp_value *rp_object(rp_call *call) { return make(call, RP_OBJECT); }
rp_value *rp_list(rp_call *call) { return make(call, RP_ARRAY); }

rp_value *rp_bool_value(rp_call *call, bool b)
{
	rp_value *v = make(call, RP_BOOL);
	v->number = b;
	return v;
}

rp_value *rp_number_value(rp_call *call, double n)
{
	rp_value *v = make(call, RP_NUMBER);
	v->number = n;
	return v;
}

rp_value *rp_text_value(rp_call *call, const char *text)
{
	rp_value *v = make(call, text ? RP_TEXT : RP_NULL);
	v->text = rp_bytes_of(text);
	return v;
}

/* append links a value that lies nowhere yet as the last one of a container. */
static void append(rp_value *container, rp_value *v, rp_bytes name)
{
	v->name = name;
	v->index = container->last ? container->last->index + 1 : 0;
	v->parent = container;
	v->next = NULL;
	if (container->last)
		container->last->next = v;
	else
		container->first = v;
	container->last = v;
}

/* put links a value, or a copy of one that lies somewhere already; what is within it is shared. */
static void put(rp_call *call, rp_value *container, rp_type type, const rp_value *value, rp_bytes name)
{
	if (!container || container->type != type)
		return;
	rp_value *v = make(call, RP_NULL);
	if (value)
		*v = *value;
	append(container, v, name);
}

void rp_set(rp_call *call, rp_value *object, const char *name, const rp_value *value) { put(call, object, RP_OBJECT, value, rp_bytes_of(name)); }
void rp_add(rp_call *call, rp_value *list, const rp_value *value) { put(call, list, RP_ARRAY, value, (rp_bytes){0}); }
void rp_set_text(rp_call *call, rp_value *object, const char *name, const char *text) { rp_set(call, object, name, rp_text_value(call, text)); }
void rp_set_integer(rp_call *call, rp_value *object, const char *name, int64_t n) { rp_set_number(call, object, name, (double)n); }
void rp_set_number(rp_call *call, rp_value *object, const char *name, double n) { rp_set(call, object, name, rp_number_value(call, n)); }
void rp_set_bool(rp_call *call, rp_value *object, const char *name, bool b) { rp_set(call, object, name, rp_bool_value(call, b)); }

rp_type rp_type_of(const rp_value *value) { return value ? value->type : RP_NULL; }
const rp_value *rp_first(const rp_value *container) { return container ? container->first : NULL; }
const rp_value *rp_next(const rp_value *value) { return value ? value->next : NULL; }
const char *rp_name(const rp_value *member) { return member && member->name.at ? member->name.at : ""; }
size_t rp_count(const rp_value *container) { return container && container->last ? container->last->index + 1 : 0; }
rp_bytes rp_value_text(const rp_value *text) { return rp_type_of(text) == RP_TEXT ? text->text : (rp_bytes){0}; }

/* Of members with the same name the last one counts. */
const rp_value *rp_member(const rp_value *object, const char *name)
{
	const rp_value *found = NULL;
	if (rp_type_of(object) == RP_OBJECT)
		for (const rp_value *m = object->first; m; m = m->next)
			if (m->name.length == strlen(name) && memcmp(m->name.at, name, m->name.length) == 0)
				found = m;
	return found;
}

/* Reading. */

typedef struct {
	rp_call *call;
	const unsigned char *at, *end;
	const char *error;
} reader;

static rp_value *read_value(reader *r, int depth);

static void *wrong(reader *r, const char *error)
{
	if (!r->error)
		r->error = error;
	return NULL;
}

static void blanks(reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

static bool take(reader *r, char c)
{
	if (r->at == r->end || *r->at != (unsigned char)c)
		return false;
	r->at++;
	return true;
}

/* Length of the character of UTF-8 at a place, 0 for what is none. */
static size_t character(const unsigned char *at, const unsigned char *end)
{
	size_t left = (size_t)(end - at), n = *at < 0x80 ? 1 : *at < 0xc2 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf5 ? 4 : 0;
	if (n == 0 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

bool rp_is_utf8(rp_bytes b)
{
	const unsigned char *at = (const unsigned char *)b.at, *end = at + b.length;
	while (at < end) {
		size_t n = character(at, end);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

size_t rp_put_rune(char *to, uint32_t c)
{
	if (c < 0x80)
		return to[0] = (char)c, 1;
	if (c < 0x800)
		return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
	if (c < 0x10000)
		return to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
	return to[0] = (char)(0xf0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63)), to[2] = (char)(0x80 | (c >> 6 & 63)), to[3] = (char)(0x80 | (c & 63)), 4;
}

static bool hex4(reader *r, uint32_t *code)
{
	if (r->end - r->at < 4)
		return false;
	*code = 0;
	for (int i = 0; i < 4; i++) {
		unsigned char c = *r->at++;
		uint32_t digit = c >= '0' && c <= '9' ? c - '0' + 0u : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10u : 16;
		if (digit > 15)
			return false;
		*code = *code << 4 | digit;
	}
	return true;
}

/* unicode_escape reads behind \u. Half of a pair becomes U+FFFD. */
static bool unicode_escape(reader *r, char **to)
{
	uint32_t code, low;
	if (!hex4(r, &code))
		return false;
	if (code >= 0xd800 && code < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
		reader ahead = *r;
		ahead.at += 2;
		if (!hex4(&ahead, &low))
			return false;
		if (low >= 0xdc00 && low < 0xe000) {
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			r->at = ahead.at;
		}
	}
	*to += rp_put_rune(*to, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
	return true;
}

static bool escape(reader *r, char **to)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	if (r->at == r->end)
		return false;
	unsigned char c = *r->at++;
	if (c == 'u')
		return unicode_escape(r, to);
	const char *found = c ? strchr(from, c) : NULL;
	if (found)
		*(*to)++ = into[found - from];
	return found != NULL;
}

/* read_text reads behind the quote; what it makes is never longer than what it reads. */
static bool read_text(reader *r, rp_bytes *text)
{
	const unsigned char *close = r->at;
	while (close < r->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	if (close >= r->end)
		return wrong(r, "a text has no end");
	char *to = rp_alloc(r->call, (size_t)(close - r->at) + 1);
	text->at = to;
	while (r->at < close) {
		size_t n = character(r->at, close);
		if (n == 0 || *r->at < ' ')
			return wrong(r, "a text holds what must be escaped, or is not UTF-8");
		if (*r->at == '\\') {
			r->at++;
			if (!escape(r, &to))
				return wrong(r, "a text holds an escape that is none");
			continue;
		}
		memcpy(to, r->at, n);
		to += n;
		r->at += n;
	}
	*to = 0;
	text->length = (size_t)(to - text->at);
	r->at = close + 1;
	return true;
}

static bool digits(reader *r)
{
	const unsigned char *from = r->at;
	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return r->at > from;
}

static rp_value *read_number(reader *r)
{
	const unsigned char *from = r->at;
	take(r, '-');
	bool ok = take(r, '0') || digits(r);
	if (ok && take(r, '.'))
		ok = digits(r);
	if (ok && (take(r, 'e') || take(r, 'E'))) {
		if (!take(r, '+'))
			take(r, '-');
		ok = digits(r);
	}
	if (!ok)
		return wrong(r, "expected a value");
	rp_value *v = rp_number_value(r->call, strtod(rp_copy(r->call, (rp_bytes){.at = (const char *)from, .length = (size_t)(r->at - from)}), NULL));
	return isfinite(v->number) ? v : wrong(r, "a number is too large");
}

static rp_value *read_list(reader *r, int depth)
{
	rp_value *list = rp_list(r->call);
	blanks(r);
	if (take(r, ']'))
		return list;
	do {
		rp_value *v = read_value(r, depth);
		if (!v)
			return NULL;
		append(list, v, (rp_bytes){0});
	} while (take(r, ','));
	return take(r, ']') ? list : wrong(r, "expected , or ] in an array");
}

static rp_value *read_object(reader *r, int depth)
{
	rp_value *object = rp_object(r->call);
	blanks(r);
	if (take(r, '}'))
		return object;
	do {
		rp_bytes name;
		blanks(r);
		if (!take(r, '"'))
			return wrong(r, "expected the name of a member");
		if (!read_text(r, &name))
			return NULL;
		blanks(r);
		if (!take(r, ':'))
			return wrong(r, "expected : behind the name of a member");
		rp_value *v = read_value(r, depth);
		if (!v)
			return NULL;
		append(object, v, name);
	} while (take(r, ','));
	return take(r, '}') ? object : wrong(r, "expected , or } in an object");
}

static bool word(reader *r, const char *word)
{
	size_t n = strlen(word);
	if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
		return false;
	r->at += n;
	return true;
}

/* read_value reads a value and the blanks around it. */
static rp_value *read_value(reader *r, int depth)
{
	rp_value *v = NULL;
	rp_bytes text;
	if (depth == 0)
		return wrong(r, "too many arrays and objects within each other");
	blanks(r);
	if (take(r, '{'))
		v = read_object(r, depth - 1);
	else if (take(r, '['))
		v = read_list(r, depth - 1);
	else if (take(r, '"')) {
		if (read_text(r, &text)) {
			v = make(r->call, RP_TEXT);
			v->text = text;
		}
	} else if (word(r, "true"))
		v = rp_bool_value(r->call, true);
	else if (word(r, "false"))
		v = rp_bool_value(r->call, false);
	else if (word(r, "null"))
		v = rp_null(r->call);
	else
		v = read_number(r);
	blanks(r);
	return v;
}

const rp_value *rp_parse(rp_call *call, rp_bytes json, const char **error)
{
	reader r = {call, (const unsigned char *)json.at, (const unsigned char *)json.at + json.length, NULL};
	rp_value *v = json.length ? read_value(&r, RP_MAX_DEPTH + 1) : wrong(&r, "there is nothing");
	if (v && r.at < r.end)
		v = wrong(&r, "there is something behind the value");
	if (error)
		*error = r.error;
	return v;
}

/* Writing. */

static const char escape_from[] = "\"\\\b\f\n\r\t", escape_as[] = "\"\\bfnrt";

static void write_text(rp_buffer *b, rp_bytes text)
{
	const unsigned char *at = (const unsigned char *)text.at, *end = at + text.length;
	rp_append(b, "\"", 1);
	while (at < end) {
		const unsigned char *plain = at;
		size_t n = 1;
		while (at < end && *at >= ' ' && *at != '"' && *at != '\\' && (n = character(at, end)) > 0)
			at += n;
		rp_append(b, (const char *)plain, (size_t)(at - plain));
		if (at == end)
			break;
		char escaped[8];
		const char *known = *at ? strchr(escape_from, *at) : NULL;
		if (known)
			snprintf(escaped, sizeof escaped, "\\%c", escape_as[known - escape_from]);
		else if (*at < ' ')
			snprintf(escaped, sizeof escaped, "\\u%04x", *at);
		else
			snprintf(escaped, sizeof escaped, "\xef\xbf\xbd"); /* no UTF-8 */
		rp_append(b, escaped, strlen(escaped));
		at++;
	}
	rp_append(b, "\"", 1);
}

/* write_number writes the shortest form that reads back as the same number. */
static void write_number(rp_buffer *b, double n)
{
	char text[32];
	if (!isfinite(n))
		n = 0;
	if (n == floor(n) && fabs(n) < 9007199254740992.0)
		snprintf(text, sizeof text, "%lld", (long long)n);
	else
		for (int precision = 15; precision <= 17; precision++) {
			snprintf(text, sizeof text, "%.*g", precision, n);
			if (strtod(text, NULL) == n)
				break;
		}
	rp_append(b, text, strlen(text));
}

void rp_write_to(rp_buffer *b, const rp_value *v)
{
	switch (rp_type_of(v)) {
	case RP_NULL:
		rp_append(b, "null", 4);
		break;
	case RP_BOOL:
		rp_append(b, v->number != 0 ? "true" : "false", v->number != 0 ? 4 : 5);
		break;
	case RP_NUMBER:
		write_number(b, v->number);
		break;
	case RP_TEXT:
		write_text(b, v->text);
		break;
	default:
		rp_append(b, v->type == RP_OBJECT ? "{" : "[", 1);
		for (const rp_value *m = v->first; m; m = m->next) {
			if (m != v->first)
				rp_append(b, ",", 1);
			if (v->type == RP_OBJECT) {
				write_text(b, m->name);
				rp_append(b, ":", 1);
			}
			rp_write_to(b, m);
		}
		rp_append(b, v->type == RP_OBJECT ? "}" : "]", 1);
	}
}

rp_bytes rp_write(rp_call *call, const rp_value *value)
{
	rp_buffer b = {.call = call};
	rp_write_to(&b, value);
	return (rp_bytes){.at = b.at ? b.at : "", .length = b.length};
}
