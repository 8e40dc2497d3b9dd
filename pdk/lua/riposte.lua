-- The kit for Riposte plugins in Lua.
--
--   local riposte = require "riposte"
--
--   riposte.action("lookup", function(call, parameters)
--     local answer = call:http("api"):get(call.settings.base_url .. "/" .. parameters.ip)
--     return { score = answer:json().score }
--   end)
--
-- An action is a function of the call and its parameters. What it returns is the result; a Fault that it raises, error(riposte.Fault(…)), is that
-- of the action, and any other error a defect of the plugin, which is reported with file and line. Host functions are methods of the call; each
-- raises a Fault where the host refuses or fails. Natively there is no host: see riposte.attempt.
local codec = require "riposte.codec"

local engine = __riposte -- nil natively
local riposte = {}

-- JSON and Base64. json.null is null; an array that may be empty is made with json.array, since an empty table is an object.
riposte.json = { null = codec.null, array = codec.array, decode = codec.decode, encode = codec.encode }
riposte.base64 = { encode = codec.encode64, decode = codec.decode64 }

local Fault = { __name = "Fault" }
Fault.__index = Fault

function Fault:__tostring()
  return (self.where and self.where .. ": " or "") .. self.kind .. ": " .. self.message .. (self.hint and " (" .. self.hint .. ")" or "")
end

local retryable = { timeout = true, rate_limited = true, unavailable = true }

-- Makes what is wrong, in the words that every part of Riposte has for it: kind is invalid, refused, unauthorized, not_found, conflict, too_large,
-- rate_limited, unavailable, timeout, cancelled, limit, failed or in_doubt; hint says what a person can do. more may have where, a place;
-- retry_after, in milliseconds; and retryable, which timeouts, rate limits and unavailability are without it.
function riposte.Fault(kind, message, hint, more)
  more = more or {}
  if more.retryable == nil then more.retryable = retryable[kind] or false end
  local function text(s) return s ~= "" and s or nil end
  return setmetatable({ kind = kind, message = message, hint = text(hint), where = text(more.where), retryable = more.retryable, retry_after = more.retry_after or 0 }, Fault)
end

local function fail(...) error(riposte.Fault(...), 0) end

-- Says whether an error that pcall caught is a Fault.
function riposte.is_fault(err) return getmetatable(err) == Fault end

local function document_of(err)
  if not riposte.is_fault(err) then return nil end
  return { kind = err.kind, message = err.message, hint = err.hint, where = err.where, retryable = err.retryable or nil,
    retry_after_ms = err.retry_after > 0 and err.retry_after or nil }
end

local function fault_of(document)
  return riposte.Fault(document.kind, document.message or "", document.hint,
    { where = document.where, retryable = document.retryable or false, retry_after = document.retry_after_ms })
end

local function write(value, what)
  local ok, text = pcall(codec.encode, value)
  return ok and text or fail("failed", what .. " cannot be written as JSON: " .. text)
end

local function payload(bytes) return utf8.len(bytes) and { text = bytes } or { base64 = codec.encode64(bytes) } end

local function bytes_of(payload) return payload and (payload.base64 and codec.decode64(payload.base64) or payload.text) or "" end

local function kind_of(value)
  local kind = type(value)
  if value == nil or value == codec.null then return "nothing" end
  if kind == "number" and math.tointeger(value) then return "integer" end
  return kind == "table" and (codec.is_array(value) and "array" or "object") or kind
end

-- fit holds a value against a shape, and gives as much of it as the shape names. A shape is "string", "number", "integer", "boolean", "object",
-- "array" or "any", with a ? behind it for what may be missing; { shape } for an array; or { name = shape } for an object.
local function fit(shape, value, where)
  local found = kind_of(value)
  local function expect(wanted)
    if found ~= wanted and not (found == "integer" and wanted == "number") then
      fail("invalid", "found " .. found .. ", expected " .. wanted, nil, { where = where })
    end
  end
  if type(shape) == "string" then
    if shape == "any" then return value end
    if found == "nothing" and shape:sub(-1) == "?" then return nil end
    expect((shape:gsub("%?$", "")))
    return found == "integer" and shape:find("^integer") and math.tointeger(value) or value
  end
  local result = {}
  if shape[1] then
    expect "array"
    for i, v in ipairs(value) do result[i] = fit(shape[1], v, where .. "[" .. i - 1 .. "]") end
    return codec.array(result)
  end
  expect "object"
  for name, inner in pairs(shape) do result[name] = fit(inner, value[name], where .. "." .. name) end
  return result
end

-- valid leaves out what is not UTF-8.
local function valid(text)
  local ok, bad = utf8.len(text)
  while not ok do
    text = text:sub(1, bad - 1) .. text:sub(bad + 1)
    ok, bad = utf8.len(text, bad)
  end
  return text
end

-- The blanks of Unicode beyond ASCII.
local blanks = {}
for _, code in ipairs { 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000 } do blanks[utf8.char(code)] = " " end
for code = 0x2000, 0x200A do blanks[utf8.char(code)] = " " end

-- excerpt is the beginning of a body, for a person to read.
local function excerpt(body)
  local text = valid(body:sub(1, 800)):gsub(utf8.charpattern, blanks):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  if #text > 200 then text = valid(text:sub(1, 200)) .. " …" end
  return text ~= "" and ": " .. text or ""
end

local months = {}
for i, name in ipairs { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" } do months[name] = i end

-- seconds counts from 1970 on, in the Gregorian calendar, in years that begin in March.
local function seconds(year, month, day, clock)
  if month <= 2 then year = year - 1 end
  local days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 719469
  local h, m, s = clock:match "^(%d%d):(%d%d):(%d%d)"
  return ((days * 24 + h) * 60 + m) * 60 + s
end

-- http_date reads a time such as Fri, 02 Jan 2026 03:04:05 GMT (RFC 9110 section 5.6.7).
local function http_date(text)
  local day, month, year, clock = text:match "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d:%d%d:%d%d) GMT$"
  return months[month] and seconds(year, months[month], day, clock)
end

-- The answer to an HTTP request. Any status is an answer. body holds its bytes.
local Response = {}
Response.__index = Response

local function new_response(value, now)
  return setmetatable({ status = value.status or 0, headers = value.headers or {}, body = bytes_of(value.body), now = now }, Response)
end

-- Gives a header by its name in any case, "" if it is not there; several values are joined by ", ".
function Response:header(name) return self.headers[name:lower()] or "" end

-- Checks for a status of 2xx and decodes the body, which may be held against a shape.
function Response:json(shape)
  self:expect()
  local ok, value = pcall(function() return fit(shape or "any", codec.decode(self.body), "$") end)
  if ok then return value end
  local found = riposte.is_fault(value) and value.where .. ": " .. value.message or value
  fail("unavailable", "the other side answered something else than the expected JSON: " .. found, "check the address in the connector's settings")
end

local kinds = { [401] = "unauthorized", [403] = "unauthorized", [404] = "not_found", [408] = "timeout", [409] = "conflict", [413] = "too_large", [429] = "rate_limited" }

-- Raises the Fault that the status stands for unless it is one of those given, or 2xx if none is given.
function Response:expect(...)
  for _, status in ipairs { ... } do
    if self.status == status then return self end
  end
  if select("#", ...) == 0 and self.status >= 200 and self.status < 300 then return self end
  local kind = kinds[self.status] or self.status >= 500 and "unavailable" or "failed"
  local hint = kind == "unauthorized" and "check the credentials in the connector's settings, and what they are allowed to do" or nil
  fail(kind, "the other side answered " .. self.status .. excerpt(self.body), hint, { retry_after = self:retry_after() })
end

-- Gives the wait in milliseconds that Retry-After asks for (RFC 9110 section 10.2.3); 0 if there is none.
function Response:retry_after()
  local value = self:header "retry-after"
  if value:find "^%d+$" then return math.tointeger(value) * 1000 end
  local to = http_date(value)
  if not to then return 0 end
  local year, month, day, clock = self.now:match "^(%d+)-(%d+)-(%d+)T(.*)"
  return math.max(to - (http_date(self:header "date") or seconds(math.tointeger(year), math.tointeger(month), day, clock)), 0) * 1000
end

-- doors makes a class of what holds one capability of a call.
local function door()
  local class = {}
  class.__index = class
  return class, function(call, capability) return setmetatable({ call = call, capability = capability }, class) end
end

local HTTP, new_http = door()

-- Sends a request. options may have headers; body, or json, a value that is written as JSON; and timeout in milliseconds.
function HTTP:request(method, url, options)
  options = options or {}
  local headers, body = options.headers, options.body
  if options.json ~= nil then
    body, headers = write(options.json, "the body"), { ["content-type"] = "application/json", accept = "application/json" }
    for name, value in pairs(options.headers or {}) do headers[name] = value end
  end
  return new_response(self.call:ask("http.fetch", { capability = self.capability, method = method, url = url, headers = headers,
    body = body and payload(body), timeout_ms = options.timeout }), self.call.now)
end

function HTTP:get(url, options) return self:request("GET", url, options) end
function HTTP:post(url, options) return self:request("POST", url, options) end
function HTTP:put(url, options) return self:request("PUT", url, options) end
function HTTP:delete(url, options) return self:request("DELETE", url, options) end

local DNS, new_dns = door()

-- Gives { rcode, records = { { name, type, ttl, value } } }. NXDOMAIN is an answer; for PTR an address is taken too.
function DNS:resolve(name, type)
  local value = self.call:ask("dns.resolve", { capability = self.capability, name = name, type = type })
  value.records = value.records or codec.array()
  return value
end

local TCP, new_tcp = door()

-- Connects to host:port, sends, and reads until the other side closes. It gives what came, and whether there was more than is allowed.
function TCP:exchange(address, send, options)
  options = options or {}
  local value = self.call:ask("tcp.exchange", { capability = self.capability, address = address, send = payload(send),
    max_bytes = options.max_bytes, timeout_ms = options.timeout })
  return bytes_of(value.received), value.truncated or false
end

local SQL, new_sql = door()

-- Runs a statement of the manifest or of the connector's settings, by name: { columns, rows, affected, truncated }. NULL is json.null.
function SQL:query(statement, params)
  return self.call:ask("sql.query", { capability = self.capability, statement = statement, params = params })
end

local Mail, new_mail = door()

-- Sends { to, cc, subject, text, html } and gives the Message-ID.
function Mail:send(message)
  return self.call:ask("mail.send", { capability = self.capability, to = codec.array(message.to), cc = message.cc and codec.array(message.cc),
    subject = message.subject, text = message.text, html = message.html }).message_id
end

local KV, new_kv = door() -- the connector's own store; the plugin must require the kind kv

-- Gives what is kept under a key, or else the second argument.
function KV:get(key, otherwise)
  local answer = self.call:ask("kv.get", { key = key })
  if answer.found then return answer.value end
  return otherwise
end

-- Keeps a value that can be JSON, for so many seconds or, without ttl, for good.
function KV:put(key, value, ttl) self.call:ask("kv.put", { key = key, value = value, ttl_s = ttl }) end

-- Removes a key, whether it is there or not.
function KV:delete(key) self.call:ask("kv.delete", { key = key }) end

-- One invocation of an action: settings, without the secrets; action, invocation, incident, run and step; deadline, in milliseconds; now, as
-- RFC 3339, which stands still; and the way to the host functions.
local Call = {}
Call.__index = Call

local function new_call(document, exchange)
  local context = document.context or {}
  local call = setmetatable({ action = document.action, settings = document.settings or {}, invocation = context.invocation or "",
    incident = context.incident or "", run = context.run or "", step = context.step or "", now = context.now or "2026-01-02T03:04:05Z",
    deadline = context.deadline_ms or 0, exchange = exchange }, Call)
  call.kv = new_kv(call)
  return call
end

-- Asks the host; the doors below are the better way.
function Call:ask(fn, request)
  local reply = codec.decode(self.exchange(fn, write(request, fn .. ": the request")))
  if reply.fault then error(fault_of(reply.fault), 0) end
  return reply.value or {}
end

function Call:http(capability) return new_http(self, capability) end
function Call:dns(capability) return new_dns(self, capability) end
function Call:tcp(capability) return new_tcp(self, capability) end
function Call:sql(capability) return new_sql(self, capability) end
function Call:mail(capability) return new_mail(self, capability) end

-- Writes a line for people; level is debug, info, warn or error. A line that a quota refuses is lost.
function Call:log(level, message, fields)
  local ok, err = pcall(self.ask, self, "log.write", { level = level, message = message, fields = fields })
  if not ok and not riposte.is_fault(err) then error(err, 0) end
end

function Call:info(message, fields) self:log("info", message, fields) end
function Call:warn(message, fields) self:log("warn", message, fields) end

-- Gives the incident a value to act on: kind is ip, domain, url, hash, user, host …; verdict benign, suspicious, malicious or unknown.
function Call:artifact(kind, value, verdict, note) self:ask("emit.artifact", { kind = kind, value = value, verdict = verdict, note = note }) end

-- Gives the incident a file.
function Call:evidence(name, media_type, data) self:ask("emit.evidence", { name = name, kind = media_type, data = codec.encode64(data) }) end

-- Gives the incident a sentence.
function Call:finding(sentence, verdict, note) self:ask("emit.finding", { value = sentence, verdict = verdict, note = note }) end

local actions = {}

-- Makes a function the action of this name. Between the two may stand a shape that the parameters must have.
function riposte.action(name, ...)
  local shape, handler = ...
  if handler == nil then shape, handler = "any", shape end
  actions[name] = { handler = handler, shape = shape }
end

local current -- the call whose log print writes to

local function perform(document, exchange)
  local known = actions[document.action]
  if not known then fail("not_found", "the plugin has no action " .. document.action, 'name it: riposte.action("' .. document.action .. '", …)') end
  current = new_call(document, exchange)
  return known.handler(current, fit(known.shape, document.parameters or {}, "$.parameters"))
end

-- Gives so many random bytes. In the sandbox they are those of the tape.
function riposte.random(count)
  if engine then return engine.entropy(count) end
  local file <close> = assert(io.open("/dev/urandom", "rb"))
  return file:read(count)
end

-- Gives the bytes of a file of the package.
function riposte.asset(name)
  if engine then return engine.files[name] or fail("not_found", "there is no file " .. name .. " in the package") end
  local file <close> = assert(io.open(name, "rb"))
  return file:read "a"
end

-- Calls an action in a plugin's own unit test, without a sandbox; parameters and result go through JSON as they do in production. stub answers the
-- host calls: it gets the name of the function, such as "http.fetch", and the request, and returns the value or raises a Fault. Without it each of
-- them is refused. The time of the call is 2026-01-02 03:04:05 UTC.
function riposte.attempt(name, parameters, settings, stub)
  local function exchange(fn, request)
    local ok, value = pcall(stub or function() fail("refused", fn .. " is not stubbed", "give attempt a stub") end, fn, codec.decode(request))
    if ok then return write({ value = value }, "the value of the stub") end
    return write({ fault = document_of(value) or error(value, 0) }, "the fault")
  end
  local document = { action = name, parameters = parameters, settings = settings, context = { invocation = "attempt", deadline_ms = 30000 } }
  return codec.decode(write(perform(codec.decode(write(document, "the call")), exchange), "the result"))
end

if engine then
  engine.fault = document_of

  function engine.actions()
    local names = {}
    for name in pairs(actions) do names[#names + 1] = name end
    table.sort(names)
    return names
  end

  function engine.act(input) return '{"output":' .. write(perform(codec.decode(input), engine.call), "the result") .. "}" end

  function print(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    if current then current:info(table.concat(texts, "\t")) end
  end
end

return riposte
