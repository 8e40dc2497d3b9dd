//! The imports of a guest, and what stands in for them on other targets.

/// An import of the module: the handle of a request in, that of a reply out. Each function goes through its own, so that a module imports
/// only what its code can reach.
pub type Door = unsafe extern "C" fn(u64) -> u64;

#[cfg(target_family = "wasm")]
mod guest {
    #[link(wasm_import_module = "extism:host/env")]
    extern "C" {
        fn input_offset() -> u64;
        fn length(handle: u64) -> u64;
        fn free(handle: u64);
        fn output_set(handle: u64, length: u64);
        fn error_set(handle: u64);
    }

    #[link(wasm_import_module = "riposte:mem/v1")]
    extern "C" {
        #[link_name = "read"]
        fn memory_read(handle: u64, to: *mut u8);
        #[link_name = "write"]
        fn memory_write(from: *const u8, length: usize) -> u64;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    extern "C" {
        fn clock_time_get(id: u32, precision: u64, time: *mut u64) -> u32;
        fn random_get(to: *mut u8, length: usize) -> u32;
    }

    macro_rules! doors {
        ($($module:literal $name:literal $function:ident,)*) => {
            $(#[link(wasm_import_module = $module)]
            extern "C" {
                #[link_name = $name]
                pub fn $function(request: u64) -> u64;
            })*
        };
    }
    doors! {
        "riposte:http/v1" "fetch" http_fetch,
        "riposte:dns/v1" "resolve" dns_resolve,
        "riposte:tcp/v1" "exchange" tcp_exchange,
        "riposte:sql/v1" "query" sql_query,
        "riposte:mail/v1" "send" mail_send,
        "riposte:kv/v1" "get" kv_get,
        "riposte:kv/v1" "put" kv_put,
        "riposte:kv/v1" "delete" kv_delete,
        "riposte:log/v1" "write" log_write,
        "riposte:emit/v1" "artifact" emit_artifact,
        "riposte:emit/v1" "evidence" emit_evidence,
        "riposte:emit/v1" "finding" emit_finding,
    }

    /// Copies a block out of the host and frees it.
    fn take(handle: u64) -> Vec<u8> {
        // SAFETY: the host writes as many bytes as the length says, and knows what is no handle.
        unsafe {
            let n = length(handle) as usize;
            let mut block = Vec::with_capacity(n);
            if n > 0 {
                memory_read(handle, block.as_mut_ptr());
                block.set_len(n);
                free(handle);
            }
            block
        }
    }

    /// Copies bytes into a block of the host.
    fn give(bytes: &[u8]) -> u64 {
        // SAFETY: the host reads within the slice.
        unsafe { memory_write(bytes.as_ptr(), bytes.len()) }
    }

    pub fn input() -> Vec<u8> {
        // SAFETY: without arguments there is nothing to get wrong.
        take(unsafe { input_offset() })
    }

    pub fn output(result: &[u8]) -> i32 {
        // SAFETY: the block has that length.
        unsafe { output_set(give(result), result.len() as u64) };
        0
    }

    /// Leaves the host the words for a crash, which says nothing itself.
    pub fn error(message: &str) {
        // SAFETY: the handle is that of a block.
        unsafe { error_set(give(message.as_bytes())) };
    }

    pub fn exchange(through: super::Door, request: &[u8]) -> Vec<u8> {
        let handle = give(request);
        // SAFETY: a door takes the handle of a block.
        let reply = unsafe { through(handle) };
        unsafe { free(handle) };
        take(reply)
    }

    /// The time since 1970, in nanoseconds.
    pub fn clock() -> u64 {
        let mut time = 0;
        // SAFETY: the host writes eight bytes.
        unsafe { clock_time_get(0, 1000, &mut time) };
        time
    }

    pub fn random(into: &mut [u8]) {
        // SAFETY: the host writes within the slice.
        unsafe { random_get(into.as_mut_ptr(), into.len()) };
    }

    static WARMING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

    /// Whether the host rehearses the actions.
    pub fn warming() -> bool {
        WARMING.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Begins and ends the rehearsal of the actions, which the host does once, before it takes the state that every invocation begins with.
    /// What it leaves is a heap with room, so that an ordinary call need not make the memory grow.
    #[no_mangle]
    extern "C" fn riposte_warm() {
        WARMING.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        drop(std::hint::black_box(Vec::<u8>::with_capacity(256 << 10)));
    }
}

#[cfg(target_family = "wasm")]
pub use guest::*;

/// Outside of a sandbox there is no host. Unit tests give answers of their own.
#[cfg(not(target_family = "wasm"))]
mod native {
    macro_rules! doors {
        ($($function:ident)*) => {
            $(pub unsafe extern "C" fn $function(_: u64) -> u64 { 0 })*
        };
    }
    doors! { http_fetch dns_resolve tcp_exchange sql_query mail_send kv_get kv_put kv_delete log_write emit_artifact emit_evidence emit_finding }

    pub fn input() -> Vec<u8> {
        Vec::new()
    }

    pub fn output(_: &[u8]) -> i32 {
        1
    }

    pub fn error(_: &str) {}

    pub fn exchange(_: super::Door, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    pub fn clock() -> u64 {
        std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64)
    }

    /// Not random at all, so that tests repeat themselves.
    pub fn random(into: &mut [u8]) {
        for (i, byte) in into.iter_mut().enumerate() {
            *byte = i as u8;
        }
    }

    pub fn warming() -> bool {
        false
    }
}

#[cfg(not(target_family = "wasm"))]
pub use native::*;
