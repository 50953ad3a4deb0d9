"""Unique counts in a bucket: the format of their sketches, and the Lua that folds them.

A sketch is one field: the series and the word "uniques", separated by a line break. Its value is its hashes in
ascending order, eight bytes each; of more than EXACT different ones, it is the registers, one byte each, and a letter
R, so that no number of hashes has the same size. Hashes are replaced with registers by the rule of `core.uniques`,
because the bytes of a total must not depend on the backend. They share one field, because a script would have to read a
whole hour to find the fields of one series.
"""

import struct

from ...core.sketches import UNIQUES
from ...core.uniques import EXACT, HIGHEST_RANK, RANK_BITS, REGISTERS, Uniques, check_registers

HASH_SIZE = 8
MARK = b"R"
# What precedes a sketch in a batch: the place of its series, and its number of bytes.
_HEAD = struct.Struct(">II")


def packed(place: int, uniques: Uniques) -> bytes:
    """Return the sketch of the series at a place of a batch, as the script takes it."""
    kept = uniques.kept
    if kept is None:
        raise ValueError("A sketch that was lost cannot be sent to Redis.")
    value = kept + MARK if isinstance(kept, bytes) else struct.pack(f">{len(kept)}Q", *kept)
    return _HEAD.pack(place, len(value)) + value


def unpacked(value: bytes) -> Uniques:
    """Return the sketch of a stored value. Raises ValueError if it is damaged."""
    if value.endswith(MARK) and len(value) == REGISTERS + len(MARK):
        return Uniques(kept=check_registers(value[:REGISTERS]))
    amount, rest = divmod(len(value), HASH_SIZE)
    if rest or not amount:
        raise ValueError("The sketch of a unique count is damaged.")
    return Uniques(struct.unpack(f">{amount}Q", value))


# `unpacked`, `stored` and AT_ONCE are those of the script. Hashes are compared as two numbers, because Lua compares
# texts as the server's locale does.
UNITED = (
    r"""
local MOST_HASHES, DENSE = __EXACT__ * 8, __REGISTERS__ + 1

local function hashes_of_both(old, new)
  local parts, copied, low = {}, 0, 0
  for start = 1, #new, 8 do
    local high, first, second = #old / 8, unpacked('>I4I4', new, start)
    while low < high do -- search for the first old hash that is not less
      local middle = math.floor((low + high) / 2)
      local left, right = unpacked('>I4I4', old, 8 * middle + 1)
      if left < first or left == first and right < second then low = middle + 1 else high = middle end
    end
    local hash = string.sub(new, start, start + 7)
    if string.sub(old, 8 * low + 1, 8 * low + 8) ~= hash then
      parts[#parts + 1] = string.sub(old, 8 * copied + 1, 8 * low) .. hash
      copied = low
    end
  end
  return table.concat(parts) .. string.sub(old, 8 * copied + 1)
end

-- Return registers with further hashes. The first hash of an index has its highest rank, because they are in order.
local function raised(registers, hashes)
  local parts, copied = {}, 0
  for start = 1, #hashes, 8 do
    local first, second = unpacked('>I4I4', hashes, start)
    local index = math.floor(first / __UPPER__)
    local _, bits = math.frexp(first % __UPPER__ * 2^32 + second)
    if index >= copied and string.byte(registers, index + 1) < __HIGHEST__ - bits then
      parts[#parts + 1] = string.sub(registers, copied + 1, index) .. string.char(__HIGHEST__ - bits)
      copied = index + 1
    end
  end
  return table.concat(parts) .. string.sub(registers, copied + 1)
end

local function highest(old, new)
  local parts = {}
  for place = 1, DENSE do
    parts[place] = string.char(math.max(string.byte(old, place), string.byte(new, place)))
  end
  return table.concat(parts)
end

local function united(old, new)
  if old == '' then return new end
  if #old == DENSE then return #new == DENSE and highest(old, new) or raised(old, new) end
  if #new == DENSE then return raised(new, old) end
  local hashes = hashes_of_both(old, new)
  return #hashes > MOST_HASHES and raised(string.rep('\0', DENSE - 1) .. '__MARK__', hashes) or hashes
end

-- Add to the changes of a bucket the sketches of a batch, each merged with the stored one, unless that has all of it.
local function seen(key, fields, sketches, changes)
  local names, new, start = {}, {}, 1
  while start <= #sketches do
    local place, size, first = unpacked('>I4I4', sketches, start)
    local name = fields[place] .. '\n__UNIQUES__'
    start = first + size
    if not new[name] then names[#names + 1] = name end
    new[name] = united(new[name] or '', string.sub(sketches, first, start - 1))
  end
  for place, old in ipairs(stored(key, names)) do
    local name = names[place]
    if old and #old % 8 ~= 0 and #old ~= DENSE then error('a stored summary is damaged') end
    local sketch = united(old or '', new[name])
    if sketch ~= old then changes[#changes + 1], changes[#changes + 2] = name, sketch end
  end
end
""".replace("__EXACT__", str(EXACT))
    .replace("__REGISTERS__", str(REGISTERS))
    .replace("__UPPER__", f"2^{RANK_BITS - 32}")
    .replace("__HIGHEST__", str(HIGHEST_RANK))
    .replace("__MARK__", MARK.decode())
    .replace("__UNIQUES__", UNIQUES)
)
