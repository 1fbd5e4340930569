-- SPDX-License-Identifier: MIT
-- The packets of Socket.IO, protocol 5, for live specs (wire: <type>[<attachments>-][/namespace,][<id>][<JSON>]).

local json = require "moonlatch.spec.json"

local packet = {}

packet.CONNECT, packet.DISCONNECT, packet.EVENT, packet.ACK, packet.CONNECT_ERROR = "0", "1", "2", "3", "4"

local BINARY = { [packet.EVENT] = "5", [packet.ACK] = "6" }
local PLAIN = { ["5"] = packet.EVENT, ["6"] = packet.ACK }

-- The text of a packet, and the bytes that follow it. id and value may be nil.
function packet.write(kind, namespace, id, value)
  local text, bytes = "", {}
  if value ~= nil then text, bytes = json.encode_event(value) end
  local head = #bytes > 0 and BINARY[kind] .. #bytes .. "-" or kind
  return head .. (namespace == "/" and "" or namespace .. ",") .. (id or "") .. text, bytes
end

-- { kind, namespace, id, text, wanted }: wanted bytes follow, and then packet.value(p, bytes) is what it says.
function packet.read(text)
  local p = {}
  local rest = text:sub(2)
  p.kind, p.wanted = PLAIN[text:sub(1, 1)] or text:sub(1, 1), 0
  if PLAIN[text:sub(1, 1)] then
    local count, behind = rest:match "^(%d+)%-(.*)$"
    p.wanted, rest = tonumber(count), behind
  end
  p.namespace = "/"
  if rest:sub(1, 1) == "/" then p.namespace, rest = rest:match "^([^,]*),?(.*)$" end
  p.id, p.text = rest:match "^(%d*)(.*)$"
  return p
end

function packet.value(p, bytes)
  if p.text == "" then return nil end
  return json.decode_event(p.text, bytes)
end

return packet
