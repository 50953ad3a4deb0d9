"""Scripts that run inside Redis, each of them atomically.

All keys that a script touches are passed to it and carry the same hash tag, which Redis Cluster requires.
"""

import hashlib
import struct
from typing import Any

from redis.exceptions import NoScriptError

from ...core.labels import OVERFLOW_LABELS
from ...core.summary import COUNT, LATEST, MIN, SUM, Field
from .codec import LAYOUT, VALUE, limbs
from .uniques import UNITED


class Script:
    """A script that is called by its digest, and sent only to a server that does not know it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: list[str], arguments: list[Any]) -> Any:
        """Return the script's answer; one round trip, two if the server does not know the script. Raises RedisError."""
        try:
            return client.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return client.eval(self._text, len(keys), *keys, *arguments)


def _names(prefix: str) -> str:
    """Return the Lua variables of a value's parts, which are numbered by field and part."""
    return ", ".join(f"{prefix}{_name(field, part)}" for field in LAYOUT for part in range(limbs(field)))


def _name(field: Field, part: int) -> str:
    return f"{field.name}_{part}"


def _merge(field: Field) -> str:
    """Return Lua that merges a field of the stored summary, whose variables begin with `old_`, into the new one."""
    parts = [_name(field, part) for part in range(limbs(field))]
    if field.rule != SUM:
        return _replace(field, parts)
    lines = [f"{part} = {part} + old_{part}" for part in parts]
    for low, high in zip(parts[:0:-1], parts[-2::-1], strict=True):
        lines.append(f"if {low} >= LIMB then {low}, {high} = {low} - LIMB, {high} + 1 end")
    return "\n    ".join(lines)


def _replace(field: Field, parts: list[str]) -> str:
    compared = [f"last_at_{part}" for part in range(2)] if field.rule == LATEST else parts
    is_kept = _is_beyond(compared, "<" if field.rule == MIN else ">")
    return f"if {is_kept} then {', '.join(parts)} = {', '.join(f'old_{part}' for part in parts)} end"


def _is_beyond(parts: list[str], sign: str) -> str:
    """Return a Lua expression that compares old values with new ones, the highest part first."""
    compared = [f"old_{part} {sign} {part}" for part in parts]
    equal = [f"old_{part} == {part}" for part in parts]
    return " or ".join(" and ".join([*equal[:place], each]) for place, each in enumerate(compared))


def _check(field: Field) -> str:
    """Return a Lua expression that is true if a sum is too large."""
    high = _name(field, 0)
    return f"{high} >= MOST" if field.holds == COUNT else f"{high} >= HIGHEST or {high} < -HIGHEST + 1"


# Keys: live buckets, written batches, then a bucket for each hour; the last 13 characters of its key are its name.
# Arguments: the batch's id, and the maximum number of label sets of a slug; for each bucket the fields of its series,
# one per line, their values in one string, the buckets of their histograms, one per line: the place of the series, the
# bucket, and the count, and the sketches of unique counts in one string; then the ids of acknowledged batches.
# The script computes everything before it writes anything, so that an error does not leave half a batch.
WRITE = Script(
    r"""
local OVERFLOW = ' __OVERFLOW__'
local VALUE, SIZE = '__VALUE__', __SIZE__
local LIMB, MOST, HIGHEST = 1e14, 2^53, 1e10
local AT_ONCE = 1000 -- Lua passes only a limited number of values to a call
local unpacked, packed = struct.unpack, struct.pack

local function merged(old, values, place)
  local __NEW__ = unpacked(VALUE, values, (place - 1) * SIZE + 1)
  if old then
    if #old ~= SIZE then error('a stored summary is damaged') end
    local __OLD__ = unpacked(VALUE, old)
    __MERGE__
  end
  if __TOO_LARGE__ then error('the sum does not fit into a total') end
  return packed(VALUE, __NEW__)
end

local function stored(key, fields)
  local values = {}
  for first = 1, #fields, AT_ONCE do
    local some = redis.call('HMGET', key, unpack(fields, first, math.min(first + AT_ONCE - 1, #fields)))
    for place = 1, #some do values[first + place - 1] = some[place] end
  end
  return values
end

-- Add to the changes of a bucket the counts of a batch's histograms, each merged with the stored one.
local function counted(key, fields, lines, changes)
  local names, sums = {}, {}
  for place, bucket, count in string.gmatch(lines, '(%d+) (%-?%d+) (%d+)') do
    local name = fields[tonumber(place)] .. '\n' .. bucket
    if not sums[name] then names[#names + 1] = name end
    sums[name] = (sums[name] or 0) + tonumber(count)
  end
  for place, old in ipairs(stored(key, names)) do
    local name = names[place]
    local sum = sums[name] + (tonumber(old or 0) or error('a stored summary is damaged'))
    if sum >= MOST then error('the sum does not fit into a total') end
    changes[#changes + 1] = name
    changes[#changes + 1] = string.format('%.0f', sum)
  end
end

__UNITED__
-- Return a batch's changes to a bucket: alternating fields and values; the last value of a field counts.
local function folded(key, lines, values, histograms, sketches, cap)
  local fields, number = {}, 0
  for field in string.gmatch(lines, '[^\n]+') do number = number + 1; fields[number] = field end
  local old, begun, changes, size = stored(key, fields), {}, {}, 0
  local function latest(field) return begun[field] or redis.call('HGET', key, field) end
  -- New series first: beyond the cap they fold into the overflow series, which may be one of the stored series below.
  for place = 1, number do
    if not old[place] then
      local field = fields[place]
      local before = begun[field]
      if string.sub(field, -3) ~= ' {}' and string.sub(field, -#OVERFLOW) ~= OVERFLOW then
        local slug = string.match(field, '^%S+')
        local sets = tonumber(latest(slug) or 0)
        if sets < cap then
          begun[slug] = string.format('%d', sets + 1)
        else
          field = string.match(field, '^%S+ %S+') .. OVERFLOW
          before = latest(field)
          fields[place] = field
        end
      end
      begun[field] = merged(before, values, place)
    end
  end
  for field, value in pairs(begun) do
    changes[size + 1], changes[size + 2], size = field, value, size + 2
  end
  for place = 1, number do
    if old[place] then
      local field = fields[place]
      changes[size + 1], changes[size + 2] = field, merged(begun[field] or old[place], values, place)
      size = size + 2
    end
  end
  counted(key, fields, histograms, changes)
  seen(key, fields, sketches, changes)
  return changes
end

-- Return an id like those of `new_batch_id`: a UUID of version 7 whose last 16 bits are zero.
local function new_id(batch_id, name, now)
  local digest = redis.sha1hex(batch_id .. name .. table.concat(now, '.'))
  return string.sub(batch_id, 1, 12) .. '7' .. string.sub(digest, 1, 3) .. '8' .. string.sub(digest, 4, 14) .. '0000'
end

local id, cap, now = ARGV[1], tonumber(ARGV[2]), redis.call('TIME')
local changes, is_live = {}, {}
for bucket = 3, #KEYS do
  local key = KEYS[bucket]
  is_live[bucket] = redis.call('HEXISTS', KEYS[1], string.sub(key, -13)) == 1
  local first = 4 * bucket - 9 -- of its four arguments
  changes[bucket] = folded(key, ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], cap)
end

if redis.call('ZADD', KEYS[2], now[1], id) == 0 then return 0 end
for bucket = 3, #KEYS do
  local name, list = string.sub(KEYS[bucket], -13), changes[bucket]
  if not is_live[bucket] then redis.call('HSET', KEYS[1], name, new_id(id, name, now)) end
  for first = 1, #list, AT_ONCE do
    redis.call('HSET', KEYS[bucket], unpack(list, first, math.min(first + AT_ONCE - 1, #list)))
  end
end
-- Forget acknowledged ids only after the check of this batch's id: if the batch is repeated, its id may be among them.
for known = 4 * #KEYS - 5, #ARGV do redis.call('ZREM', KEYS[2], ARGV[known]) end
return 1
""".replace("__UNITED__\n", UNITED)
    .replace("__OVERFLOW__", OVERFLOW_LABELS)
    .replace("__NEW__", _names(""))
    .replace("__OLD__", _names("old_"))
    .replace("__MERGE__", "\n    ".join(map(_merge, LAYOUT)))
    .replace("__TOO_LARGE__", " or ".join(_check(field) for field in LAYOUT if field.rule == SUM))
    .replace("__VALUE__", VALUE)
    .replace("__SIZE__", str(struct.calcsize(VALUE)))
)

# Keys: live buckets, claims, then each bucket and the claim it becomes. Arguments: name and id of each bucket.
CLAIM = Script("""
for position = 1, #ARGV, 2 do
  local name, id = ARGV[position], ARGV[position + 1]
  if redis.call('HGET', KEYS[1], name) == id then
    if redis.call('EXISTS', KEYS[position + 2]) == 1 then
      redis.call('RENAME', KEYS[position + 2], KEYS[position + 3])
      redis.call('HSET', KEYS[2], id, name)
    end
    redis.call('HDEL', KEYS[1], name)
  end
end
""")

# Keys: claims, a claim. Argument: the claim's id.
DELETE = Script("""
redis.call('UNLINK', KEYS[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
""")

# Keys: written batches. Argument: for how many seconds a batch is remembered. The server's clock, which set the time of
# each batch, decides.
FORGET = Script("""
return redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, redis.call('TIME')[1] - ARGV[1])
""")
