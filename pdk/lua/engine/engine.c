// The Lua engine: Lua as a module that knows nothing but the doors of the host (see door.h). What is not about memory is in boot.lua.
#include <stdlib.h>
#include <unistd.h>

#include "door.h"
#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"

static const char codec[] = {
#embed "../riposte/codec.lua"
};
static const char boot[] = {
#embed "boot.lua"
};

static lua_State *lua; // its registry holds the object that boot.lua works with, under "engine"

static void *allocate(void *context, void *block, size_t before, size_t size) {
  if (size > 0) return realloc(block, size);
  free(block);
  return NULL;
}

// lua_call_host is engine.call(fn, request), which gives the reply.
static int lua_call_host(lua_State *L) {
  size_t size, reply_size;
  char *reply;
  const char *fn = luaL_checkstring(L, 1), *request = luaL_checklstring(L, 2, &size);
  switch (door_call(fn, request, size, &reply, &reply_size)) {
  case DOOR_UNKNOWN:
    return luaL_error(L, "there is no host function %s", fn);
  case DOOR_MEMORY:
    return luaL_error(L, "not enough memory");
  case DOOR_OK:
    lua_pushlstring(L, reply, reply_size);
    free(reply);
  }
  return 1;
}

// lua_entropy is engine.entropy(n): n random bytes of the host, which are those of the tape.
static int lua_entropy(lua_State *L) {
  luaL_Buffer buffer;
  size_t size = (size_t)luaL_checkinteger(L, 1);
  char *bytes = luaL_buffinitsize(L, &buffer, size);
  for (size_t at = 0, n; at < size; at += n) {
    n = size - at < 256 ? size - at : 256; // as many as getentropy gives
    if (getentropy(bytes + at, n) != 0) return luaL_error(L, "no random numbers");
  }
  luaL_pushresultsize(&buffer, size);
  return 1;
}

static const luaL_Reg functions[] = {{"call", lua_call_host}, {"entropy", lua_entropy}, {NULL, NULL}};

// There is no luaopen_io and no luaopen_package; of what luaopen_os and luaopen_debug give, boot.lua leaves what can do something here.
static const luaL_Reg libraries[] = {
    {LUA_GNAME, luaopen_base},     {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math}, {LUA_UTF8LIBNAME, luaopen_utf8},  {LUA_OSLIBNAME, luaopen_os},     {LUA_DBLIBNAME, luaopen_debug},
};

// start makes the object engine, and has boot.lua put its functions there.
static int start(lua_State *L) {
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) luaL_requiref(L, libraries[i].name, libraries[i].func, 1);
  luaL_newlib(L, functions);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "engine");
  if (luaL_loadbufferx(L, boot, sizeof boot, "=engine", "t") != LUA_OK || luaL_loadbufferx(L, codec, sizeof codec, "=engine", "t") != LUA_OK) return lua_error(L);
  lua_call(L, 0, 1);
  lua_pushvalue(L, -3);
  lua_insert(L, -2);
  lua_call(L, 2, 0);
  return 0;
}

// hand calls the function of engine whose name is given, with the input of this call, and leaves what it gives as the output.
static int hand(lua_State *L) {
  size_t size;
  char *input = door_input(&size);
  if (input == NULL) return luaL_error(L, "not enough memory");
  lua_getfield(L, LUA_REGISTRYINDEX, "engine");
  lua_getfield(L, -1, lua_touserdata(L, 1));
  lua_pushlstring(L, input, size);
  free(input);
  lua_call(L, 1, 1);
  const char *text = lua_tolstring(L, -1, &size);
  door_output(text, size);
  return 0;
}

static int protect(lua_CFunction f, const char *name) {
  lua_pushcfunction(lua, f);
  lua_pushlightuserdata(lua, (void *)name);
  return lua_pcall(lua, 1, 0, 0);
}

static int give(const char *name) {
  if (protect(hand, name) != LUA_OK) door_exhausted();
  lua_settop(lua, 0);
  return 0;
}

EXPORT(riposte_load) int riposte_load(void) {
  lua = lua_newstate(allocate, NULL);
  if (lua == NULL || protect(start, NULL) != LUA_OK) return 1;
  int code = give("load");
  lua_gc(lua, LUA_GCCOLLECT);
  return code;
}

EXPORT(riposte_run) int riposte_run(void) { return give("run"); }
