-- title: Completeness
-- question: Are there gaps, duplicates, conflicts or dead letters in the log?
-- note: One row per topic partition, over every row of the tables. events = distinct events + duplicates among
--   them + retries + conflicts: no row is counted under two of these.
-- note: missing also counts offsets that Kafka itself leaves out (compacted topics, transaction markers), and
--   while the sink runs the newest records may be in one table and not yet in the other. `auditlake verify` tells
--   these from losses.
-- param: from timestamp = none: first moment of ingest_time, when the sink read the record
-- param: to timestamp = none: moment before which ingest_time lies
-- param: topic text = none: only this topic; the first row of an event is looked for in all of them
-- column: topic VARCHAR: topic
-- column: partition INTEGER: topic partition
-- column: first_offset BIGINT: lowest offset in the tables
-- column: last_offset BIGINT: highest offset in the tables
-- column: records BIGINT: offsets that are in the tables
-- column: missing BIGINT: offsets between first and last that are not
-- column: events BIGINT: rows of agent_log
-- column: dead_letters BIGINT: rows of dead_letters
-- column: duplicates BIGINT: rows too many: the same record and event twice, or a record in both tables
-- column: retries BIGINT: events sent again by their producer with the same content
-- column: conflicts BIGINT: events whose source and id an earlier event has, with other content
WITH rows_of AS (
    SELECT kafka_topic, kafka_partition, kafka_offset, record_index
    FROM agent_log
    WHERE ($topic IS NULL OR kafka_topic = $topic)
        AND ($from IS NULL OR ingest_time >= $from)
        AND ($to IS NULL OR ingest_time < $to)
    UNION ALL
    -- a dead letter is no event of its record
    SELECT kafka_topic, kafka_partition, kafka_offset, -1
    FROM dead_letters
    WHERE ($topic IS NULL OR kafka_topic = $topic)
        AND ($from IS NULL OR ingest_time >= $from)
        AND ($to IS NULL OR ingest_time < $to)
),
-- One row per record, with what each table holds of it.
records AS (
    SELECT kafka_topic, kafka_partition, kafka_offset,
        sum(CASE WHEN record_index >= 0 THEN n ELSE 0 END) AS event_rows,
        count(CASE WHEN record_index >= 0 THEN 1 END) AS distinct_rows,
        sum(CASE WHEN record_index < 0 THEN n ELSE 0 END) AS dead_rows
    FROM (
        SELECT kafka_topic, kafka_partition, kafka_offset, record_index, count(*) AS n
        FROM rows_of
        GROUP BY kafka_topic, kafka_partition, kafka_offset, record_index
    ) AS counted_rows
    GROUP BY kafka_topic, kafka_partition, kafka_offset
),
counted AS (
    SELECT kafka_topic, kafka_partition,
        min(kafka_offset) AS first_offset, max(kafka_offset) AS last_offset, count(*) AS records,
        sum(event_rows) AS events, sum(dead_rows) AS dead_letters,
        sum(event_rows - distinct_rows)
            + sum(CASE WHEN dead_rows > 0 THEN dead_rows - 1 ELSE 0 END)
            + sum(CASE WHEN event_rows > 0 AND dead_rows > 0 THEN 1 ELSE 0 END) AS duplicates
    FROM records
    GROUP BY kafka_topic, kafka_partition
),
-- Payloads are read for events that stand more than once only. Numbers are grouped first, they take less memory than ids.
repeated AS (
    SELECT source, event_id
    FROM agent_log
    WHERE hash(source, event_id) IN (SELECT hash(source, event_id) FROM agent_log GROUP BY hash(source, event_id) HAVING count(*) > 1)
    GROUP BY source, event_id
    HAVING count(*) > 1
),
ranked AS (
    SELECT l.kafka_topic, l.kafka_partition, l.ingest_time,
        row_number() OVER (
            PARTITION BY l.source, l.event_id
            ORDER BY l.kafka_topic, l.kafka_partition, l.kafka_offset, l.record_index, l.payload
        ) AS nth,
        row_number() OVER (
            PARTITION BY l.kafka_topic, l.kafka_partition, l.kafka_offset, l.record_index
            ORDER BY l.payload
        ) AS copy,
        l.payload IS NOT DISTINCT FROM first_value(l.payload) OVER (
            PARTITION BY l.source, l.event_id
            ORDER BY l.kafka_topic, l.kafka_partition, l.kafka_offset, l.record_index, l.payload
        ) AS same
    FROM agent_log l
    JOIN repeated r ON l.source = r.source AND l.event_id = r.event_id
),
repeats AS (
    SELECT kafka_topic, kafka_partition,
        sum(CASE WHEN same THEN 1 ELSE 0 END) AS retries,
        sum(CASE WHEN same THEN 0 ELSE 1 END) AS conflicts
    FROM ranked
    WHERE nth > 1 AND copy = 1
        AND ($from IS NULL OR ingest_time >= $from)
        AND ($to IS NULL OR ingest_time < $to)
    GROUP BY kafka_topic, kafka_partition
)
SELECT
    c.kafka_topic AS topic,
    c.kafka_partition AS partition,
    c.first_offset,
    c.last_offset,
    c.records,
    c.last_offset - c.first_offset + 1 - c.records AS missing,
    CAST(c.events AS BIGINT) AS events,
    CAST(c.dead_letters AS BIGINT) AS dead_letters,
    CAST(c.duplicates AS BIGINT) AS duplicates,
    CAST(coalesce(r.retries, 0) AS BIGINT) AS retries,
    CAST(coalesce(r.conflicts, 0) AS BIGINT) AS conflicts
FROM counted c
LEFT JOIN repeats r ON c.kafka_topic = r.kafka_topic AND c.kafka_partition = r.kafka_partition
ORDER BY c.kafka_topic, c.kafka_partition
