// The way of a script engine to the host. An engine is a WASI reactor module with two exports of ours, both of type () -> i32:
//
//   riposte_load  reads the scripts of a package: input abi.Scripts, output abi.Result whose output is abi.Loaded
//   riposte_run   runs an action: input abi.Call, output abi.Result
//
// Both give 0 when they left an output. All that a script can do to the world is door_call: the names of abi.Functions, JSON in, JSON out.
#ifndef RIPOSTE_DOOR_H
#define RIPOSTE_DOOR_H

#include <stddef.h>

// EXPORT makes a function an export of the module, under its own name.
#define EXPORT(name) __attribute__((export_name(#name), used))

// door_input copies the input of this call, with a zero byte behind it; the caller frees it. NULL means that there is no memory.
char *door_input(size_t *size);

// door_output gives the host the output of this call.
void door_output(const char *output, size_t size);

// door_exhausted gives it a fault of kind limit, for when there is no memory or no stack left to write an output.
void door_exhausted(void);

// What door_call came to.
enum door_state { DOOR_OK, DOOR_UNKNOWN, DOOR_MEMORY };

// door_call asks the host for fn, such as "http.fetch". With DOOR_OK the caller frees *reply, which has a zero byte behind it.
enum door_state door_call(const char *fn, const char *request, size_t size, char **reply, size_t *reply_size);

#endif
