// What every source of Lua is compiled with: how its errors end the functions that they pass, and what is not there.
//
// Lua's errors are longjmp, which WebAssembly has only as exceptions, and those the sandbox keeps off. Here an error sets a flag and returns. The
// compiler's assembly is given a check of that flag behind each call, which returns too (unwind.awk), until unwind_try takes the flag back. What
// stood on the stack in memory is given back by the caller of unwind_try, luaD_rawrunprotected, as its frame ends.
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

struct lua_State;
void unwind_throw(void);
void unwind_try(void (*f)(struct lua_State *, void *), struct lua_State *L, void *context);

#define LUAI_THROW(L, c) unwind_throw()
#define LUAI_TRY(L, c, a) unwind_try(f, L, ud)
#define luai_jmpbuf int

// The hashes of texts are the same in each image.
#define luai_makeseed(L) 0

// No locales, no files, no processes, no environment.
#define lua_getlocaledecpoint() '.'
#define lua_tmpnam(name, failed) (failed = 1)
#define LUA_TMPNAMBUFSIZE 1
#define remove(name) (-1)
#define rename(from, to) (-1)
#define system(command) (-1)
#define getenv(name) NULL
#define exit(code) abort()
#define setlocale(category, locale) NULL
