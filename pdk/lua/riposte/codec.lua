-- JSON (RFC 8259) and Base64 (RFC 4648), which Lua does not have. What cannot be read or written is an error, a text that says why.
local codec = {}

local byte, char, concat, find, format, sub = string.byte, string.char, table.concat, string.find, string.format, string.sub

local DEPTH = 200 -- levels of arrays and objects within each other

local Array = { __name = "array" }

-- Stands for null, since nil in a table is nothing.
codec.null = setmetatable({}, { __name = "null", __tostring = function() return "null" end })

-- Marks a table as an array; an empty table without that mark is written as an object.
function codec.array(list) return setmetatable(list or {}, Array) end

-- Says whether a table is written as an array: it has the mark, or a first element.
function codec.is_array(list) return getmetatable(list) == Array or list[1] ~= nil end

local function skip(text, at)
  local c = byte(text, at)
  if c and c > 32 then return at end
  return find(text, "[^ \t\n\r]", at) or #text + 1
end

local function wrong(text, at, wanted)
  local found = at > #text and "the end" or format("%q", sub(text, at, utf8.offset(text, 2, at) - 1))
  error(format("byte %d: found %s, expected %s", at, found, wanted), 0)
end

local escapes = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- Reads what stands behind \u, at a place. Half of a pair of UTF-16 becomes U+FFFD.
local function read_escape(text, at)
  local digits = string.match(text, "^%x%x%x%x", at) or wrong(text, at, "four hexadecimal digits")
  local code = tonumber(digits, 16)
  if code >= 0xD800 and code < 0xDC00 then
    local low = tonumber(string.match(text, "^\\u([dD][c-fC-F]%x%x)", at + 4) or "", 16)
    if low then return utf8.char(0x10000 + (code - 0xD800) * 0x400 + low - 0xDC00), at + 10 end
  end
  return utf8.char(code >= 0xD800 and code < 0xE000 and 0xFFFD or code), at + 4
end

-- The readers give a value and the place behind it. This one begins behind the quote.
local function read_string(text, at)
  local parts, n = nil, 0
  while true do
    local stop = find(text, '["\\\0-\31]', at) or wrong(text, #text + 1, 'a "')
    local c = byte(text, stop)
    if c == 34 and not parts then return sub(text, at, stop - 1), stop + 1 end
    parts = parts or {}
    parts[n + 1], n = sub(text, at, stop - 1), n + 2
    if c == 34 then return concat(parts), stop + 1 end
    if c ~= 92 then wrong(text, stop, "no control character in a text") end
    local escape = sub(text, stop + 1, stop + 1)
    if escape == "u" then
      parts[n], at = read_escape(text, stop + 2)
    else
      parts[n], at = escapes[escape] or wrong(text, stop + 1, "an escape"), stop + 2
    end
  end
end

local function read_number(text, at)
  local _, stop, whole, fraction, exponent = find(text, "^(-?%d+)(%.?%d*)([eE]?[+-]?%d*)", at)
  if not whole or find(whole, "^-?0%d") or fraction == "." or exponent ~= "" and not find(exponent, "^[eE][+-]?%d") then wrong(text, at, "a value") end
  local number = tonumber(sub(text, at, stop))
  if number == math.huge or number == -math.huge then wrong(text, at, "a number that can be held") end
  return number, stop + 1
end

local read_value

local function read_array(text, at, depth)
  local list, n = codec.array(), 0
  at = skip(text, at)
  if byte(text, at) == 93 then return list, at + 1 end
  while true do
    n = n + 1
    list[n], at = read_value(text, at, depth)
    at = skip(text, at)
    local c = byte(text, at)
    if c == 93 then return list, at + 1 end
    if c ~= 44 then wrong(text, at, ", or ]") end
    at = skip(text, at + 1)
  end
end

local function read_object(text, at, depth)
  local object, name = {}, nil
  at = skip(text, at)
  if byte(text, at) == 125 then return object, at + 1 end
  while true do
    if byte(text, at) ~= 34 then wrong(text, at, "a name") end
    name, at = read_string(text, at + 1)
    at = skip(text, at)
    if byte(text, at) ~= 58 then wrong(text, at, "a colon") end
    object[name], at = read_value(text, skip(text, at + 1), depth)
    at = skip(text, at)
    local c = byte(text, at)
    if c == 125 then return object, at + 1 end
    if c ~= 44 then wrong(text, at, ", or }") end
    at = skip(text, at + 1)
  end
end

function read_value(text, at, depth)
  local c = byte(text, at)
  if c == 34 then return read_string(text, at + 1) end
  if c == 123 or c == 91 then
    if depth == DEPTH then wrong(text, at, "no deeper nesting") end
    return (c == 123 and read_object or read_array)(text, at + 1, depth + 1)
  end
  if sub(text, at, at + 3) == "true" then return true, at + 4 end
  if sub(text, at, at + 4) == "false" then return false, at + 5 end
  if sub(text, at, at + 3) == "null" then return codec.null, at + 4 end
  return read_number(text, at)
end

-- Reads JSON. Arrays are marked, null is codec.null, numbers are integers where they are written so and fit into 64 bits.
function codec.decode(text)
  if not utf8.len(text) then error("the text is not UTF-8", 0) end
  local value, at = read_value(text, skip(text, 1), 0)
  at = skip(text, at)
  if at <= #text then wrong(text, at, "the end") end
  return value
end

local escaped = {}
for code = 0, 31 do escaped[char(code)] = format("\\u%04x", code) end
for name, plain in pairs(escapes) do escaped[plain] = plain ~= "/" and "\\" .. name or nil end

local function write_string(text)
  if not utf8.len(text) then error("a text in it is not UTF-8", 0) end
  if find(text, '["\\\0-\31]') then text = string.gsub(text, '["\\\0-\31]', escaped) end
  return '"' .. text .. '"'
end

local function write_number(number)
  local whole = math.tointeger(number)
  if whole then return format("%d", whole) end
  if number ~= number or number == math.huge or number == -math.huge then error(number .. " is no JSON", 0) end
  for digits = 15, 17 do
    local text = format("%." .. digits .. "g", number)
    if tonumber(text) == number then return text end
  end
end

local function names_of(object)
  local names = {}
  for name in next, object do
    if type(name) ~= "string" then error(format("the name %s of a member is no text", name), 0) end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function write(out, value, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = write_string(value)
  elseif kind == "number" then
    out[#out + 1] = write_number(value)
  elseif kind == "boolean" or value == nil or value == codec.null then
    out[#out + 1] = value == nil and "null" or tostring(value)
  elseif kind ~= "table" then
    error("a " .. kind .. " is no JSON", 0)
  elseif depth == DEPTH then
    error("it is nested too deeply, or lies within itself", 0)
  elseif codec.is_array(value) then
    for i = 1, #value do
      out[#out + 1] = i == 1 and "[" or ","
      write(out, value[i], depth + 1)
    end
    out[#out + 1] = #value > 0 and "]" or "[]"
  else
    local names = names_of(value)
    for i, name in ipairs(names) do
      out[#out + 1] = (i == 1 and "{" or ",") .. write_string(name) .. ":"
      write(out, value[name], depth + 1)
    end
    out[#out + 1] = #names > 0 and "}" or "{}"
  end
end

-- Writes JSON, members of objects in the order of their names.
function codec.encode(value)
  local out = {}
  write(out, value, 0)
  return concat(out)
end

local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local digit, value_of = {}, {}
for i = 0, 63 do digit[i], value_of[byte(digits, i + 1)] = sub(digits, i + 1, i + 1), i end

-- Gives the Base64 of bytes.
function codec.encode64(bytes)
  return (string.gsub(bytes, "..?.?", function(group)
    local a, b, c = byte(group, 1, 3)
    return digit[a >> 2] .. digit[(a & 3) << 4 | (b or 0) >> 4] .. (b and digit[(b & 15) << 2 | (c or 0) >> 6] or "=") .. (c and digit[c & 63] or "=")
  end))
end

-- Gives the bytes of Base64.
function codec.decode64(text)
  local given, padding = string.match(text, "^([%w+/]*)(=?=?)$")
  if not given or #text % 4 ~= 0 then error("this is no Base64", 0) end
  local bytes = string.gsub(given .. string.rep("A", #padding), "....", function(group)
    local a, b, c, d = byte(group, 1, 4)
    local bits = value_of[a] << 18 | value_of[b] << 12 | value_of[c] << 6 | value_of[d]
    return char(bits >> 16, bits >> 8 & 255, bits & 255)
  end)
  return sub(bytes, 1, #bytes - #padding)
end

return codec
