/* One invocation of an action: its input, its memory, its fault, and what it reads of values. */
#include "kit.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct chunk chunk;
struct chunk {
	chunk *before;
	size_t used, size;
	_Alignas(16) char bytes[];
};

struct rp_call {
	chunk *memory;
	rp_context about;
	const rp_value *settings;
	rp_fault fault;
	bool failed;
	rp_stub stub;
};

/* Memory. There is none left when malloc says so: the guest ends. */

void *rp_alloc(rp_call *call, size_t size)
{
	enum { least = 16 << 10 };
	size = (size + 15) & ~(size_t)15;
	if (!call->memory || call->memory->size - call->memory->used < size) {
		chunk *c = malloc(sizeof *c + (size > least ? size : least));
		if (!c)
			abort();
		*c = (chunk){.before = call->memory, .size = size > least ? size : least};
		call->memory = c;
	}
	char *at = call->memory->bytes + call->memory->used;
	call->memory->used += size;
	return at;
}

static rp_call *new_call(rp_stub stub)
{
	rp_call *call = calloc(1, sizeof *call);
	if (!call)
		abort();
	call->stub = stub;
	return call;
}

static void free_call(rp_call *call)
{
	for (chunk *c = call->memory, *before; c; c = before) {
		before = c->before;
		free(c);
	}
	free(call);
}

void rp_append(rp_buffer *b, const char *text, size_t length)
{
	if (b->room - b->length < length + 1) {
		b->room = (b->length + length + 64) * 2;
		char *at = rp_alloc(b->call, b->room);
		if (b->length)
			memcpy(at, b->at, b->length);
		b->at = at;
	}
	if (length)
		memcpy(b->at + b->length, text, length);
	b->length += length;
	b->at[b->length] = 0;
}

char *rp_copy(rp_call *call, rp_bytes text)
{
	char *at = rp_alloc(call, text.length + 1);
	if (text.length)
		memcpy(at, text.at, text.length);
	at[text.length] = 0;
	return at;
}

rp_bytes rp_bytes_of(const char *text) { return (rp_bytes){.at = text ? text : "", .length = text ? strlen(text) : 0}; }

const char *rp_format(rp_call *call, const char *format, ...)
{
	va_list arguments, again;
	va_start(arguments, format);
	va_copy(again, arguments);
	int n = vsnprintf(NULL, 0, format, arguments);
	char *text = rp_alloc(call, (size_t)(n > 0 ? n : 0) + 1);
	text[0] = 0;
	vsnprintf(text, (size_t)(n > 0 ? n : 0) + 1, format, again);
	va_end(again);
	va_end(arguments);
	return text;
}

/* Faults. */

static const char *or_empty(const char *text) { return text ? text : ""; }

void *rp_fail_with(rp_call *call, rp_fault f)
{
	if (!call->failed)
		call->fault = (rp_fault){or_empty(f.kind), or_empty(f.message), or_empty(f.hint), or_empty(f.where), f.retryable, f.retry_after_ms};
	call->failed = true;
	return NULL;
}

void *rp_fail(rp_call *call, const char *kind, const char *message, const char *hint)
{
	bool later = strcmp(kind, RP_TIMEOUT) == 0 || strcmp(kind, RP_RATE_LIMITED) == 0 || strcmp(kind, RP_UNAVAILABLE) == 0;
	return rp_fail_with(call, (rp_fault){.kind = kind, .message = message, .hint = hint, .retryable = later});
}

bool rp_failed(const rp_call *call) { return call->failed; }

const rp_fault *rp_caught(rp_call *call)
{
	if (!call->failed)
		return NULL;
	rp_fault *caught = rp_alloc(call, sizeof *caught);
	*caught = call->fault;
	call->failed = false;
	return caught;
}

static void read_fault(rp_call *call, const rp_value *v)
{
	rp_fail_with(call, (rp_fault){rp_text_or(call, v, "kind", RP_FAILED), rp_text_or(call, v, "message", ""), rp_text_or(call, v, "hint", ""),
		rp_text_or(call, v, "where", ""), rp_bool_or(call, v, "retryable", false), rp_integer_or(call, v, "retry_after_ms", 0)});
}

static rp_value *write_fault(rp_call *call, const rp_fault *f)
{
	rp_value *v = rp_object(call);
	rp_set_text(call, v, "kind", f->kind);
	rp_set_text(call, v, "message", f->message);
	rp_set_text(call, v, "hint", f->hint);
	rp_set_text(call, v, "where", f->where);
	rp_set_bool(call, v, "retryable", f->retryable);
	rp_set_integer(call, v, "retry_after_ms", f->retry_after_ms);
	return v;
}

/* The invocation. */

const rp_context *rp_about(const rp_call *call) { return &call->about; }
const rp_value *rp_settings(rp_call *call) { return call->settings; }
uint64_t rp_clock(rp_call *call) { return (void)call, rp_host_clock(); }
void rp_random(rp_call *call, void *to, size_t length) { (void)call, rp_host_random(to, length); }

/* root names a value for the places of faults. */
static const rp_value *root(const rp_value *v, const char *name)
{
	if (v)
		((rp_value *)v)->name = rp_bytes_of(name);
	return v;
}

static const rp_value *read_input(rp_call *call, rp_bytes input)
{
	const char *error = NULL;
	const rp_value *in = rp_parse(call, input, &error);
	if (rp_type_of(in) != RP_OBJECT)
		return rp_fail(call, RP_INVALID, rp_format(call, "the input of the action is not a call: %s", or_empty(error)), "start the plugin with riposte");
	const rp_value *context = rp_member(in, "context");
	call->about = (rp_context){rp_text_or(call, in, "action", ""), rp_text_or(call, context, "invocation", ""), rp_text_or(call, context, "incident", ""),
		rp_text_or(call, context, "run", ""), rp_text_or(call, context, "step", ""), rp_text_or(call, context, "now", ""), rp_integer_or(call, context, "deadline_ms", 0)};
	const rp_value *settings = rp_member(in, "settings"), *parameters = rp_member(in, "parameters");
	/* They are no members any more, but the roots of documents. */
	if (settings)
		((rp_value *)settings)->parent = NULL;
	if (parameters)
		((rp_value *)parameters)->parent = NULL;
	call->settings = root(settings ? settings : rp_object(call), "$.settings");
	return root(parameters ? parameters : rp_object(call), "$.parameters");
}

static rp_bytes answer_of(rp_call *call, rp_handler handler, rp_bytes input)
{
	const rp_value *parameters = read_input(call, input);
	const rp_value *output = call->failed ? NULL : handler(call, parameters);
	rp_value *result = rp_object(call);
	if (call->failed)
		rp_set(call, result, "fault", write_fault(call, &call->fault));
	else
		rp_set(call, result, "output", output);
	return rp_write(call, result);
}

int rp_run(rp_handler handler)
{
	if (rp_host_warming())
		return 0;
	rp_call *call = new_call(NULL);
	int code = rp_host_output(answer_of(call, handler, rp_host_input(call)));
	free_call(call);
	return code;
}

char *rp_try(rp_handler handler, const char *settings, const char *parameters, rp_stub host)
{
	rp_call *call = new_call(host);
	const char *input = rp_format(call, "{\"action\":\"try\",\"settings\":%s,\"parameters\":%s,\"context\":{\"invocation\":\"try\",\"now\":\"2026-01-02T03:04:05Z\",\"deadline_ms\":30000}}",
		settings, parameters);
	rp_bytes result = answer_of(call, handler, rp_bytes_of(input));
	char *copy = malloc(result.length + 1);
	if (copy)
		memcpy(copy, result.at, result.length + 1);
	free_call(call);
	return copy;
}

const rp_value *rp_ask(rp_call *call, const char *function, rp_door through, const rp_value *request)
{
	if (call->failed)
		return NULL;
	rp_bytes document = rp_write(call, request);
	const char *error = NULL;
	rp_bytes answer = call->stub ? rp_bytes_of(call->stub(function, document.at)) : rp_host_exchange(call, through, document);
	const rp_value *reply = rp_parse(call, answer, &error);
	if (error)
		return rp_fail(call, RP_INTERNAL, rp_format(call, "%s: the reply of the host cannot be read: %s", function, error), "");
	const rp_value *fault = rp_member(reply, "fault"), *value = rp_member(reply, "value");
	if (fault)
		return read_fault(call, fault), NULL;
	return value ? root(value, function) : rp_null(call);
}

/* Typed members. */

static const rp_value *root_of(const rp_value *v)
{
	while (v && v->parent)
		v = v->parent;
	return v;
}

const rp_value *rp_foreign(const rp_value *v)
{
	((rp_value *)v)->foreign = true;
	return root(v, "$");
}

/* misfit is the fault of a value that is not as it should be. */
static void *misfit(rp_call *call, const rp_value *within, const char *where, const char *message)
{
	if (!within || !root_of(within)->foreign)
		return rp_fail_with(call, (rp_fault){.kind = RP_INVALID, .where = where, .message = message});
	return rp_fail(call, RP_UNAVAILABLE, rp_format(call, "the other side answered something else than the expected JSON: %s: %s", where, message),
		"check the address in the connector's settings");
}

static const char *const type_names[] = {"null", "bool", "number", "string", "array", "object"};

static void write_place(rp_buffer *b, const rp_value *v)
{
	if (v->parent)
		write_place(b, v->parent);
	if (v->parent && v->parent->type == RP_ARRAY) {
		char index[24];
		snprintf(index, sizeof index, "[%zu]", v->index);
		rp_append(b, index, strlen(index));
		return;
	}
	if (v->parent)
		rp_append(b, ".", 1);
	rp_append(b, v->name.at, v->name.length);
}

/* typed gives a member of a type. What is missing is a fault if it must be there. */
static const rp_value *typed(rp_call *call, const rp_value *object, const char *name, rp_type type, bool must)
{
	const rp_value *v = rp_member(object, name);
	if (v && (v->type == type || (v->type == RP_NULL && !must)))
		return v->type == type ? v : NULL;
	if ((!v && !must) || call->failed)
		return NULL;
	rp_buffer place = {.call = call};
	if (object)
		write_place(&place, object);
	rp_append(&place, ".", 1);
	rp_append(&place, name, strlen(name));
	return misfit(call, object, place.at, rp_format(call, "%s%s, expected %s", v ? "found " : "it is missing", v ? type_names[v->type] : "", type_names[type]));
}

const char *rp_text(rp_call *call, const rp_value *object, const char *name)
{
	const rp_value *v = typed(call, object, name, RP_TEXT, true);
	return v ? v->text.at : "";
}

const char *rp_text_or(rp_call *call, const rp_value *object, const char *name, const char *otherwise)
{
	const rp_value *v = typed(call, object, name, RP_TEXT, false);
	return v ? v->text.at : otherwise;
}

double rp_number(rp_call *call, const rp_value *object, const char *name)
{
	const rp_value *v = typed(call, object, name, RP_NUMBER, true);
	return v ? v->number : 0;
}

static int64_t integer(rp_call *call, const rp_value *v, int64_t otherwise)
{
	if (!v)
		return otherwise;
	if (v->number == floor(v->number) && fabs(v->number) < 9223372036854774784.0)
		return (int64_t)v->number;
	rp_buffer place = {.call = call};
	write_place(&place, v);
	misfit(call, v, place.at, "expected a whole number");
	return otherwise;
}

int64_t rp_integer(rp_call *call, const rp_value *object, const char *name)
{
	return integer(call, typed(call, object, name, RP_NUMBER, true), 0);
}

int64_t rp_integer_or(rp_call *call, const rp_value *object, const char *name, int64_t otherwise)
{
	return integer(call, typed(call, object, name, RP_NUMBER, false), otherwise);
}

bool rp_bool(rp_call *call, const rp_value *object, const char *name)
{
	const rp_value *v = typed(call, object, name, RP_BOOL, true);
	return v && v->number != 0;
}

bool rp_bool_or(rp_call *call, const rp_value *object, const char *name, bool otherwise)
{
	const rp_value *v = typed(call, object, name, RP_BOOL, false);
	return v ? v->number != 0 : otherwise;
}

const rp_value *rp_array(rp_call *call, const rp_value *object, const char *name) { return typed(call, object, name, RP_ARRAY, true); }
const rp_value *rp_member_object(rp_call *call, const rp_value *object, const char *name) { return typed(call, object, name, RP_OBJECT, true); }
