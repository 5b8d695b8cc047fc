"""One rendering of Arrow data that is the same whichever engine read it.

Each value is rendered as bytes by its logical type, never by an engine's own
text: two values render alike if, and only if, they are the same value. NULL and
empty differ, so do 0.0 and -0.0. A column's checksum is the sum, modulo 2**64, of
the first eight bytes of the SHA-256 of its values, so the order of rows does not
matter and their number does; the rows' checksum is that of whole rows.
"""

import hashlib
import struct

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

MASK = (1 << 64) - 1


def type_name(a):
    """The logical type as Iceberg calls it; how Arrow lays it out is no matter."""
    if t.is_dictionary(a):
        return type_name(a.value_type)
    if t.is_string(a) or t.is_large_string(a) or t.is_string_view(a):
        return "string"
    if t.is_binary(a) or t.is_large_binary(a) or t.is_binary_view(a):
        return "binary"
    if t.is_boolean(a):
        return "boolean"
    if t.is_int32(a):
        return "int"
    if t.is_int64(a):
        return "long"
    if t.is_float64(a):
        return "double"
    if t.is_date32(a):
        return "date"
    if t.is_decimal(a):
        return f"decimal({a.precision}, {a.scale})"
    if t.is_timestamp(a):
        if a.unit != "us":
            return f"timestamp[{a.unit}]"
        return "timestamptz" if a.tz else "timestamp"
    if t.is_list(a) or t.is_large_list(a):
        return f"list<{type_name(a.value_type)}>"
    if t.is_struct(a):
        return "struct<" + ", ".join(f"{f.name}: {type_name(f.type)}" for f in a) + ">"
    raise TypeError(f"no rendering of Arrow type {a}")


def prepare(a):
    """An array whose to_pylist loses nothing: times become their microseconds,
    which Python's datetime would bound to the years 1 to 9999."""
    if isinstance(a, pa.ChunkedArray):
        a = pa.chunked_array([prepare(c) for c in a.chunks], type=None if a.chunks else a.type)
        return a
    if t.is_dictionary(a.type):
        a = a.dictionary_decode()
    if t.is_timestamp(a.type) or t.is_date32(a.type):
        return a.view(pa.int64() if t.is_timestamp(a.type) else pa.int32())
    return a


def render(v):
    """The bytes of one value of to_pylist after prepare."""
    if v is None:
        return b"-"
    if isinstance(v, bool):
        return b"b1" if v else b"b0"
    if isinstance(v, int):
        return b"i%d" % v
    if isinstance(v, float):
        return b"f" + struct.pack(">d", v if v == v else float("nan"))
    if isinstance(v, str):
        return b"s" + v.encode("utf-8")
    if isinstance(v, (bytes, bytearray)):
        return b"x" + bytes(v)
    if isinstance(v, list):
        return b"l" + b"".join(framed(render(e)) for e in v)
    if isinstance(v, dict):
        return b"r" + b"".join(framed(name.encode()) + framed(render(e)) for name, e in sorted(v.items()))
    sign, digits, exponent = v.as_tuple()  # decimal.Decimal, always of the column's scale
    return b"d%d:%s:%d" % (sign, "".join(map(str, digits)).encode(), exponent)


def framed(b):
    return struct.pack(">I", len(b)) + b


def digest(b):
    return hashlib.sha256(b).digest()[:8]


def digests(column):
    """The digest of every value of a column."""
    known, out = {}, []
    for v in prepare(column).to_pylist():
        b = render(v)
        d = known.get(b)
        if d is None:
            d = known[b] = digest(b)
        out.append(d)
    return out


def total(ds):
    return "%016x" % (sum(int.from_bytes(d, "big") for d in ds) & MASK)


def fingerprint(table):
    """What two readers of a table must agree on."""
    columns = {name: digests(table.column(name)) for name in sorted(table.column_names)}
    return {
        "rows": table.num_rows,
        "types": {f.name: type_name(f.type) for f in table.schema},
        "columns": {name: {"nulls": table.column(name).null_count, "sum": total(ds)} for name, ds in columns.items()},
        "row_sum": row_sum(columns),
        # PyIceberg 0.12 gives an empty list of structs where there is none
        # (apache/arrow#38809 is its reason): it is compared by these.
        "without_null_lists": without_null_lists(table, columns),
    }


def row_sum(columns):
    return total([digest(b"".join(row)) for row in zip(*columns.values())])


def without_null_lists(table, columns):
    """The checksums where a list of structs that is NULL counts as empty."""
    columns = dict(columns)
    changed = {}
    for name in columns:
        if type_name(table.schema.field(name).type).startswith("list<struct<"):
            columns[name] = [digest(render(v or [])) for v in table.column(name).to_pylist()]
            changed[name] = {"nulls": 0, "sum": total(columns[name])}
    return {"columns": changed, "row_sum": row_sum(columns)}


def count_where(table, condition):
    """Rows of an Arrow table for which a condition holds, by looking at each. It
    judges the engines, which may skip files by their statistics."""
    mask = None
    for column, op, value in condition:
        c = table.column(column)
        if op == "is null":
            m = pc.is_null(c)
        elif op == "is not null":
            m = pc.is_valid(c)
        else:
            if t.is_timestamp(c.type):
                v = pa.scalar(value).cast(pa.timestamp("us", tz="UTC"))
                c = c.cast(pa.timestamp("us", tz="UTC"))
            else:
                v = pa.scalar(value).cast(c.type)
            m = {"=": pc.equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal}[op](c, v)
        mask = m if mask is None else pc.and_kleene(mask, m)
    return table.filter(mask).num_rows if mask is not None else table.num_rows


def count_by_class_and_day(table):
    """The same for rows by class and UTC day; dead letters have error_class and ingest_time."""
    names = table.column_names
    cls = "event_class" if "event_class" in names else "error_class"
    when = "event_time" if "event_time" in names else "ingest_time"
    days = prepare(table.column(when)).to_pylist()
    out = {}
    for c, micros in zip(table.column(cls).to_pylist(), days):
        key = f"{c} {micros // 86_400_000_000}"
        out[key] = out.get(key, 0) + 1
    return out
