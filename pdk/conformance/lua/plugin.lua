-- The conformance plugin in Lua.
local riposte = require "riposte"
local Fault, json, base64 = riposte.Fault, riposte.json, riposte.base64

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function data(p) return p.base64 and base64.decode(p.base64) or p.text end

local function checksum(bytes)
  local s = 0
  for i = 1, #bytes, 61 do s = (s * 31 + bytes:byte(i)) & 0xFFFFFFFF end
  return s
end

riposte.action("echo", function(_, p) return p end)
riposte.action("typed", { ip = "string", port = "integer" }, function(_, p) return p end)

riposte.action("parse", function(_, p)
  local ok, value = pcall(json.decode, p.text)
  if not ok then error(Fault("invalid", value)) end
  return { value = value }
end)

riposte.action("settings", function(call) return call.settings end)

riposte.action("context", function(call)
  return { action = call.action, invocation = call.invocation, incident = call.incident, run = call.run, step = call.step, now = call.now, deadline_ms = call.deadline }
end)

riposte.action("dice", function() return hex(riposte.random(16)) end)

riposte.action("clock", function(call)
  local year, month, day, hour, min, sec = call.now:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
  local since, first = os.time() - os.time { year = year, month = month, day = day, hour = hour, min = min, sec = sec }, os.clock()
  return { since_now = since >= 0 and since < 1, goes_on = os.clock() > first }
end)

local calls = 0
riposte.action("count", function()
  calls = calls + 1
  return calls
end)

riposte.action("fetch", function(call, p)
  local got = call:http(p.capability or "api"):request(p.method, call.settings.url .. p.path, { headers = p.headers, body = data(p), timeout = p.timeout_ms })
  return { status = got.status, type = got:header "Content-Type", length = #got.body, sum = checksum(got.body) }
end)

riposte.action("get-json", function(call, p) return call:http("api"):get(call.settings.url .. p.path):json { name = "string", age = "integer" } end)

riposte.action("post-json", function(call, p)
  return call:http("api"):post(call.settings.url .. "/mirror", { json = { text = p.text, list = p.list } }):json()
end)

riposte.action("post-form", function(call, p)
  local options = { body = p.fields, headers = { ["content-type"] = "application/x-www-form-urlencoded" } }
  return call:http("api"):post(call.settings.url .. "/mirror", options):json()
end)

riposte.action("resolve", function(call, p) return call:dns("names"):resolve(p.name, p.type) end)

riposte.action("exchange", function(call, p)
  local bytes, truncated = call:tcp("line"):exchange(p.address or call.settings.line, data(p))
  return { length = #bytes, sum = checksum(bytes), truncated = truncated }
end)

riposte.action("query", function(call, p)
  local got = call:sql("inventory"):query(p.statement, p.params)
  return { columns = got.columns, rows = got.rows, truncated = got.truncated or false }
end)

riposte.action("send", function(call, p) return call:mail("relay"):send(p) end)

riposte.action("keep", function(call, p)
  local before = call.kv:get(p.key) ~= nil
  call.kv:put(p.key, { name = p.value.name, count = p.value.count, tags = p.value.tags }, p.ttl_s)
  local found = call.kv:get(p.key)
  call.kv:delete(p.key)
  return { before = before, value = found, after = call.kv:get(p.key) ~= nil }
end)

riposte.action("put", function(call, p)
  call.kv:put(p.key, ("x"):rep(p.bytes))
  return true
end)

riposte.action("knock", function(call, p)
  for _ = 1, p.times do call.kv:get "door" end
  return p.times
end)

riposte.action("write", function(call, p)
  call:log("debug", p.message)
  call:info(p.message)
  call:warn(p.message)
  call:log("error", p.message, { text = p.message, count = 3 })
  return 4
end)

riposte.action("emit", function(call, p)
  local faults = {}
  for _, effect in ipairs {
    function() call:artifact("ip", p.ip, p.verdict, p.note) end,
    function() call:evidence("dump.bin", "application/octet-stream", base64.decode(p.base64)) end,
    function() call:finding(p.sentence, p.verdict, p.note) end,
  } do
    local ok, fault = pcall(effect)
    if not ok then faults[#faults + 1] = fault end
  end
  if faults[1] then error(faults[1]) end
  return true
end)

riposte.action("fail", function(_, p)
  error(Fault(p.kind, p.message, p.hint, { where = p.where, retryable = p.retryable or false, retry_after = p.retry_after_ms }))
end)

riposte.action("catch", function(call, p)
  local ok, f = pcall(function() return call:http("api"):get(call.settings.url .. p.path) end)
  if ok then error(Fault("failed", "there was no fault")) end
  return { kind = f.kind, message = f.message, hint = f.hint, where = f.where, retryable = f.retryable, retry_after_ms = f.retry_after }
end)

riposte.action("crash", function()
  local nothing
  return nothing.length
end)

riposte.action("recurse", function()
  local function deeper(n) return n + deeper(n + 1) end
  return deeper(1)
end)

riposte.action("dig", function()
  local function deeper(above)
    local here = { above[1] + 1 }
    return here[1] + deeper(here)
  end
  return deeper { 1 }
end)

riposte.action("devour", function()
  local all = {}
  while true do all[#all + 1] = ("x"):rep(1 << 20, tostring(#all)) end
end)

riposte.action("spin", function()
  while true do end
end)

riposte.action("flood", function(_, p) return ("x"):rep(p.bytes) end)
riposte.action("lie", function() return { score = "high" } end)

riposte.action("check", function(call)
  call:http("api"):get(call.settings.url .. "/person"):expect()
  return true
end)

riposte.action("describe", function() return { plugin = "conformance" } end)
