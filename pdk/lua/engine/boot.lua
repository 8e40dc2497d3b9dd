-- What the engine does before and around the scripts of a package. It is called with the functions of engine.c and gives engine.load and
-- engine.run, of text to text. The kit finds engine as the global __riposte, and puts there engine.actions, the names of the actions, engine.act,
-- which runs one, and engine.fault, which gives the document of an error that is a fault.
local engine, codec = ...

__riposte = engine
engine.files = {} -- name in the package to bytes

local getinfo = debug.getinfo
debug = { traceback = debug.traceback }
os = { clock = os.clock, date = os.date, difftime = os.difftime, time = os.time }
dofile, loadfile = nil, nil

-- Numbers of the host, which are those of the tape: from the first one that a call draws.
local random, randomseed, seeded = math.random, math.randomseed, false

function math.randomseed(...)
  seeded = true
  if select("#", ...) > 0 then return randomseed(...) end
  return randomseed(string.unpack("<i8i8", engine.entropy(16)))
end

function math.random(...)
  if not seeded then math.randomseed() end
  return random(...)
end

package = { loaded = { _G = _G, coroutine = coroutine, math = math, os = os, string = string, table = table, utf8 = utf8 } }

function require(name)
  local loaded = package.loaded
  if loaded[name] ~= nil then return loaded[name] end
  local base = string.gsub(name, "%.", "/")
  local file = engine.files[base .. ".lua"] and base .. ".lua" or base .. "/init.lua"
  if not engine.files[file] then error("there is no module " .. name .. " in the package", 2) end
  local chunk, message = load(engine.files[file], "@" .. file, "t")
  if not chunk then error(message, 0) end
  local module = chunk(name, file)
  if module ~= nil then loaded[name] = module end
  if loaded[name] == nil then loaded[name] = true end
  return loaded[name]
end

-- own says whether the author of the package wrote a file of it.
local function own(file) return engine.files[file] and file ~= "riposte.lua" and file ~= "riposte/codec.lua" end

-- places lists where the author's functions are that have been called, innermost first: "plugin.lua:12 in look_up"; at most fifty.
local function places()
  local found, level = {}, 3
  while #found < 50 do
    local info = getinfo(level, "Sln")
    if not info then break end
    local file = string.sub(info.source, 2)
    if own(file) then found[#found + 1] = file .. ":" .. info.currentline .. (info.name and " in " .. info.name or "") end
    level = level + 1
  end
  return found
end

-- fault makes the result of a script that ended with an error which is no Fault of the kit.
local function fault(kind, message, stack)
  local where, rest = string.match(message, "^([^:\n]+:%d+): (.*)$")
  if where and engine.files[string.match(where, "^[^:]+")] then message = rest else where = nil end
  if not where or not own(string.match(where, "^[^:]+")) then where = stack[1] and string.match(stack[1], "^%S+") end
  if message == "not enough memory" then kind, message = "limit", "the plugin needs more memory than it has" end
  if string.find(message, "^C? ?stack overflow") or message == "error in error handling" then kind, message = "limit", "the plugin calls itself too deeply" end
  return { fault = { kind = kind, message = message, where = where }, stack = #stack > 0 and stack or nil }
end

-- try calls a function with the input. It gives what that gives, a text, or the result of its failure.
local function try(kind, f, input)
  local function caught(err)
    local document = engine.fault and engine.fault(err)
    if document then return { fault = document } end
    local text = type(err) == "string" and err or "the script ended with " .. (getmetatable(err) and tostring(err) or "a " .. type(err) .. " as error")
    return fault(kind, text, places())
  end
  local ok, result = xpcall(f, caught, input)
  if ok then return result end
  if type(result) ~= "table" then result = fault(kind, tostring(result), {}) end -- there was no memory, or no stack, for caught
  return codec.encode(result)
end

function engine.load(input)
  return try("invalid", function()
    local scripts = codec.decode(input)
    for name, file in pairs(scripts.files) do engine.files[name] = file.base64 and codec.decode64(file.base64) or file.text or "" end
    require((string.gsub(string.gsub(scripts.entry, "%.lua$", ""), "/", ".")))
    if not engine.act then
      return codec.encode { fault = { kind = "invalid", message = scripts.entry .. " does not import the kit", hint = 'begin it with: local riposte = require "riposte"', where = scripts.entry } }
    end
    return codec.encode { output = { actions = codec.array(engine.actions()) } }
  end)
end

function engine.run(input)
  seeded = false
  return try("trap", engine.act, input)
end
