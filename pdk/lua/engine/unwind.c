// The two ends of an error; see unwind.h. Behind the calls in this file there is no check.
struct lua_State;

__attribute__((address_space(1))) int unwinding; // a global of WebAssembly's

void unwind_throw(void) { unwinding = 1; }

// unwind_try calls f, which an error may end early.
void unwind_try(void (*f)(struct lua_State *, void *), struct lua_State *L, void *context) {
  f(L, context);
  unwinding = 0;
}
