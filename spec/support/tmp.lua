-- SPDX-License-Identifier: MIT
-- Temporary folders and small files for specs.

local tmp = {}

function tmp.dir()
  local pipe = assert(io.popen("mktemp -d /tmp/moonlatch-spec.XXXXXX"))
  local dir = pipe:read("l")
  pipe:close()
  return assert(dir, "mktemp gave no folder")
end

function tmp.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- Makes the folders above it, too.
function tmp.write(path, text)
  local folder = path:match("^(.*)/")
  assert(os.execute("mkdir -p " .. tmp.quote(folder)))
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

-- The file's bytes, or nil.
function tmp.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

function tmp.remove(dir)
  assert(dir:find("^/tmp/moonlatch%-spec%."), "not a folder of ours: " .. dir)
  os.execute("rm -rf " .. tmp.quote(dir))
end

return tmp
