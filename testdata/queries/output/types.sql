-- Every kind of value, in the three rows: ordinary, extreme, NULL.
SELECT * FROM (VALUES
    (1::BIGINT, 12.345000000::DECIMAL(18, 9), 0.1::DOUBLE, 'plain', true,
     TIMESTAMPTZ '2026-03-01 12:34:56.789+00', TIMESTAMP '2026-03-01 12:34:56', DATE '2026-03-01', 'ab'::BLOB, ['x', 'y'],
     {'a': 1, 't': TIMESTAMPTZ '2026-03-01 00:00:00+00'}, MAP {'k': 1.5::DOUBLE}, '{"n": 1}'::JSON, INTERVAL 90 MINUTE,
     '00000000-0000-0000-0000-000000000001'::UUID, 1::HUGEINT),
    (-9223372036854775808, -999999999.999999999, 'NaN', E'a"b,c\nd\te' || chr(27) || '[31m注文🙏', false,
     TIMESTAMPTZ '1969-12-31 23:59:59.999999+00', TIMESTAMP '9999-12-31 23:59:59.000001', DATE '0001-01-01', '\x00\xFF\x5C', [],
     {'a': NULL, 't': NULL}, MAP {'k': 'inf'::DOUBLE}, '[]'::JSON, INTERVAL '-1 day',
     'ffffffff-ffff-ffff-ffff-ffffffffffff'::UUID, 99999999999999999999999999999999999999),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) AS v("integer", "decimal", "double", "text", "flag", "at", "local", "day", "bytes", "list", "struct", "map", "json", "span", "uuid", "huge");
